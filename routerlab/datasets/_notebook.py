"""Published data in a notebook: there, or a note on how to get it and a quiet stop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from routerlab.exceptions import AbsentFileError

_Result = TypeVar("_Result")


class StopNotebook(Exception):  # noqa: N818, a reader who runs a notebook did nothing wrong
    """Ends the run of a notebook's cells; shown as nothing."""


def fetch_or_stop(fetch: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
    """Fetch published data, or end a notebook's run with a note on what to do.

    For the first code cell of a notebook on published data. Where a file is absent and cannot be downloaded, the
    cell shows what to do, and "Run all" runs nothing below it: no traceback, and no `NameError` in every later
    cell. Outside IPython, and for a file that is there but is not what was published, errors are raised as ever.

    Parameters
    ----------
    fetch : callable
        A ``fetch_*`` function.
    *args, **kwargs
        Passed to `fetch`.

    Returns
    -------
    Dataset
        What `fetch` returns.

    Raises
    ------
    DataFileError
        Absent outside IPython; anywhere, a file that is not what was published.
    StopNotebook
        Absent, in IPython.

    Examples
    --------
    >>> fetch_or_stop(dict, a=1)
    {'a': 1}
    """
    shell = _shell()
    try:
        return fetch(*args, **kwargs)
    except AbsentFileError as error:
        if shell is None:
            raise
        _show(type(error.__cause__ or error).__name__)
        shell.set_custom_exc((StopNotebook,), _show_nothing)
        message = str(error)
    raise StopNotebook(message)


def _shell() -> Any:
    """Return the running IPython shell, or None; IPython is not imported for it."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def _show(cause: str) -> None:
    from IPython.display import clear_output, display

    head = "This notebook needs published data that is not here, and stops in this cell."
    steps = (
        f"The files could not be downloaded ({cause}). Run this cell once with network: it downloads and checks them. "
        "Or set the environment variable `ROUTERLAB_DATA` to a folder that holds them as "
        "`<owner>/<repository>/<path>`, and restart the kernel."
    )
    clear_output()  # the bar and the log lines of the download that failed
    display({"text/plain": f"{head}\n{steps}", "text/markdown": f"**{head}** {steps}"}, raw=True)


def _show_nothing(shell: Any, kind: Any, value: Any, traceback: Any, tb_offset: Any = None) -> list[str]:
    return []
