"""The page that asks who decides: light, so that it is there before the comparator and its data are loaded."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import anywidget
import ipywidgets
import traitlets

from routerlab.exceptions import LogError, LogOwnerError, ParameterError

HERE = Path(__file__).parent
_LONGEST = 60
_BAD_NAME = (
    "This name cannot be used: it needs a letter or a digit, and at most 60 characters. For example: ana, or ben-2."
)


def source(name: str) -> str:
    """Return a widget's module: the shared part and its own."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("shared.js", name))


def style() -> str:
    """Return the style sheet of all widgets."""
    return (HERE / "widgets.css").read_text(encoding="utf-8")


class _NameForm(anywidget.AnyWidget):
    """Asks for a name; what is wrong with it is said, and a traceback never shown."""

    _esm = source("rater.js")
    _css = style()
    said = traitlets.Dict().tag(sync=True)


class RaterPage(ipywidgets.VBox):
    """Ask for the rater's name, then show what the rater works with.

    For pages without a notebook, such as ``notebooks/label.ipynb`` under Voila: a link that ends in ``?rater=ana`` goes
    on with ana's votes at once.

    Parameters
    ----------
    make : callable
        From a name to a widget, such as a `PairComparator`. It is called when the rater starts.

    Attributes
    ----------
    rater : str or None
        Who started.

    Examples
    --------
    >>> page = RaterPage(lambda name: ipywidgets.HTML(f"Hello, {name}"))
    >>> page.start("  ")
    'Please give your name: your votes are kept under it.'
    >>> page.start("ana"), page.rater
    (None, 'ana')
    """

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self._form = _NameForm()
        self._n_tries = 0
        self.rater: str | None = None
        super().__init__([self._form])
        self._form.on_msg(lambda _form, content, _buffers: self.start(str(content.get("name") or "")))
        # Half of a first screen's time is the import of what comes after it.
        Thread(target=import_module, args=("routerlab.widgets._comparator",), daemon=True).start()

    def start(self, name: str) -> str | None:
        """Show the widget of this rater.

        Parameters
        ----------
        name : str
            The rater; spaces around it do not count.

        Returns
        -------
        str or None
            What the page says is wrong, None if nothing is.
        """
        name = " ".join(name.split())
        wrong, widget = self._try(name)
        self._n_tries += 1  # the same answer twice is two answers
        self._form.said = {"text": wrong, "rater": None if wrong else name, "number": self._n_tries}
        if widget is not None:
            self.rater = name
            self.children = [widget]
        return wrong

    def _try(self, name: str) -> tuple[str | None, Any]:
        if not name:
            return "Please give your name: your votes are kept under it.", None
        if len(name) > _LONGEST or not any(c.isalnum() for c in name):
            return _BAD_NAME, None
        try:
            return None, self._make(name)
        except ParameterError:
            return _BAD_NAME, None
        except LogOwnerError:
            return "This name stands for a file with other votes. Please add something to it, such as a number.", None
        except LogError as error:
            return f"Your votes cannot be opened. Please show this to who gave you the task: {error}", None
        except Exception as error:  # noqa: BLE001
            return f"Please show this to who gave you the task: {type(error).__name__}: {error}", None
