"""Old names: of arguments and attributes, for one more release with a DeprecationWarning, and of what has moved."""

import warnings
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def renamed(**new_names: str) -> Callable[[_Function], _Function]:
    """Take keyword arguments by their old names as well.

    Parameters
    ----------
    **new_names : str
        ``old="new"``.

    Examples
    --------
    >>> @renamed(n_folds="cv")
    ... def fit(*, cv=5):
    ...     return cv
    >>> fit(cv=3)
    3
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     fit(n_folds=4)
    4
    >>> print(caught[0].message)
    The 'n_folds' argument of fit is called 'cv' now; the old name will go after one release.
    """

    def decorate(function: _Function) -> _Function:
        name = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def taking_old_names(*args: Any, **kwargs: Any) -> Any:
            for old in new_names.keys() & kwargs.keys():
                new = new_names[old]
                if new in kwargs:
                    msg = f"{name} got {old!r} and {new!r}, which are one argument. Pass {new!r} alone."
                    raise TypeError(msg)
                msg = f"The {old!r} argument of {name} is called {new!r} now; the old name will go after one release."
                warnings.warn(msg, DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return taking_old_names  # type: ignore[return-value]

    return decorate


def old_name(old: str, new: str) -> Any:
    """Make a property that gives an attribute by its old name.

    Examples
    --------
    >>> class Report:
    ...     maybe_billed_usd = 2.0
    ...     unsure_usd = old_name("unsure_usd", "maybe_billed_usd")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     Report().unsure_usd
    2.0
    """

    def get(self: Any) -> Any:
        msg = f"{type(self).__name__}.{old} is called {new!r} now; the old name will go after one release."
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return getattr(self, new)

    return property(get, doc=f"Old name of `{new}`.")


def moved(package: str, names: tuple[str, ...], to: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose `names` live in one above it now, which is imported when needed.

    Examples
    --------
    >>> moved("somewhere", ("renamed",), "routerlab.deprecation")("renamed") is renamed
    True
    """

    def find(name: str) -> Any:
        if name in names:
            return getattr(import_module(to), name)
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    return find


def called(package: str, **names: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that gives what it has renamed, with a DeprecationWarning.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    **names : str
        ``old="module:new"``.

    Examples
    --------
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     called("somewhere", renew="routerlab.deprecation:renamed")("renew") is renamed
    True
    """

    def find(name: str) -> Any:
        if name not in names:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        module, new = names[name].split(":")
        msg = f"{package}.{name} is called {module}.{new} now; the old name will go after one release."
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return getattr(import_module(module), new)

    return find
