"""What the doors take: frames of other libraries and columns of any kind, read as plain pandas or refused by name."""

import datetime
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError, RouterlabError, TableError

KEYS = ("prompt_id", "model", "model_a", "model_b")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_COPY_ON_WRITE = int(pd.__version__.split(".")[0]) >= 3
_UNSEEN = "\ufeff\u200b\u2060"  # byte order mark, zero-width space, word joiner: str.strip leaves them


def shown(values: Iterable[Any], limit: int = 5) -> str:
    """Format offending values for an error message.

    Examples
    --------
    >>> shown(range(8))
    '0, 1, 2, 3, 4 and 3 more'
    """
    items = [repr(v) if isinstance(v, str) else str(v) for v in values]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def reject(where: str, wrong: str, remedy: str, error: type[RouterlabError] = TableError) -> NoReturn:
    """Raise the project's one form of error: where, what is wrong, what to do; of a parameter as a `ParameterError`.

    Examples
    --------
    >>> reject("prompts table, column 'prompt'", "is empty for 'p1'.", "Drop that row.")
    Traceback (most recent call last):
    routerlab.exceptions.TableError: prompts table, column 'prompt': is empty for 'p1'. Drop that row.
    """
    msg = f"{where}: {wrong} {remedy}"
    raise error(msg)


def refuse(where: str, wrong: str, remedy: str) -> NoReturn:
    """Raise `reject`'s error of a parameter."""
    reject(where, wrong, remedy, ParameterError)


def refuse_parameter(name: str, wanted: str, got: Any, of: str = "") -> NoReturn:
    """Raise the error of a parameter of `of` that is not what it must be."""
    whose = f"The {name!r} parameter of {of}" if of else repr(name)
    msg = f"{whose} must be {wanted}. Got {got!r} instead."
    raise ParameterError(msg)


def check_choice(value: Any, choices: Iterable[str], name: str, of: str = "") -> None:
    """Insist that a parameter of `of` is one of the words that it may be."""
    if value not in choices:
        *others, last = map(repr, choices)
        refuse_parameter(name, f"{', '.join(others)} or {last}", value, of)


def provenance_of(*tables: Any) -> str | None:
    """Return the ``provenance`` note that any of `tables` carries, joined if they differ.

    The scale that quality was measured on, ``attrs["quality_scale"]``, is part of it.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame()
    >>> frame.attrs["provenance"] = "simulated: seed 0"
    >>> provenance_of(None, frame)
    'simulated: seed 0'
    >>> frame.attrs["quality_scale"] = "win share"
    >>> provenance_of(frame, frame)
    'simulated: seed 0; quality: win share'
    """
    known = [t for t in tables if hasattr(t, "attrs")]
    notes = [note for t in known for note in str(t.attrs.get("provenance") or "").split("; ")]
    scales = [f"quality: {t.attrs['quality_scale']}" for t in known if t.attrs.get("quality_scale")]
    return "; ".join(dict.fromkeys(note for note in [*notes, *scales] if note)) or None


def as_labels(column: pd.Series) -> pd.Index:
    """Return ids or names as an index of plain objects or numbers.

    scikit-learn's splitters cannot index what Arrow holds, and pandas holds text in Arrow where it can.

    Examples
    --------
    >>> as_labels(pd.Series(["p1"], name="prompt_id")).dtype
    dtype('O')
    """
    values = column.unique() if not column.is_unique else column
    return pd.Index(values, dtype=object if column.dtype == "str" else column.dtype, name=column.name)


def kind_of(value: Any) -> str:
    """Name the type of a value as its reader knows it.

    Examples
    --------
    >>> kind_of([]), kind_of(Decimal(1))
    ('list', 'decimal.Decimal')
    """
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def as_pandas(table: Any) -> Any:
    """Return a frame or series of another library (polars, Arrow, ...) as pandas, anything else as it is.

    Examples
    --------
    >>> as_pandas([1, 2])
    [1, 2]
    """
    if isinstance(table, (pd.DataFrame, pd.Series, pd.Index, np.ndarray)) or isinstance(table, type):
        return table
    ways: list[Callable[[], Any]] = []
    if hasattr(table, "to_pandas"):
        ways.append(lambda: table.to_pandas())
    if hasattr(table, "__arrow_c_stream__") and hasattr(pd.DataFrame, "from_arrow"):
        ways.append(lambda: pd.DataFrame.from_arrow(table))
    if hasattr(table, "__dataframe__"):
        ways.append(lambda: pd.api.interchange.from_dataframe(table))
    if hasattr(table, "to_pandas"):  # polars needs pyarrow for all of these
        ways.append(lambda: pd.DataFrame({name: table[name].to_list() for name in table.columns}))
        ways.append(lambda: pd.Series(table.to_list(), name=getattr(table, "name", None) or None))
    for way in ways:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = way()
        except (ImportError, AttributeError, TypeError, ValueError):
            continue
        if isinstance(found, (pd.DataFrame, pd.Series)):
            return found
    return table


def own(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame that may be changed without changing this one; pandas 3 copies when that happens.

    Examples
    --------
    >>> frame = pd.DataFrame({"a": [1]})
    >>> mine = own(frame)
    >>> mine.loc[0, "a"] = 2
    >>> int(frame.loc[0, "a"])
    1
    """
    return frame.copy(deep=not _COPY_ON_WRITE)


def plain(column: pd.Series) -> pd.Series:
    """Return a categorical, nullable, sparse or Arrow-backed column in NumPy's own kinds; others as they are.

    Examples
    --------
    >>> plain(pd.Series([1, None], dtype="Int64")).tolist()
    [1.0, nan]
    """
    kind = column.dtype
    if isinstance(kind, (np.dtype, pd.DatetimeTZDtype, pd.PeriodDtype)) or kind == "str":
        return column
    values = column.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = np.nan
    return pd.Series(values, index=column.index, name=column.name, dtype=object).infer_objects()


def plain_frame(table: Any, where: str) -> pd.DataFrame:
    r"""Return a copy of a table with plain columns and clean, unique column names; ``prompt_id`` is a column.

    Examples
    --------
    >>> plain_frame(pd.DataFrame({"\ufeffprompt_id": ["p1"]}), "prompts table").columns.tolist()
    ['prompt_id']
    """
    given = as_pandas(table)
    if not isinstance(given, pd.DataFrame):
        remedy = "Call .collect() first." if hasattr(table, "collect") else "Build one, e.g. pd.DataFrame(records)."
        reject(where, f"expected a pandas DataFrame, got {kind_of(table)}.", remedy)
    frame = given.copy()
    if frame.columns.nlevels > 1:
        reject(where, f"has {frame.columns.nlevels} levels of column names.", "Flatten them: one name a column.")
    frame.columns = [name.strip(_UNSEEN) if isinstance(name, str) else name for name in frame.columns]
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()].unique()
        reject(where, f"column {shown(twice)} appears twice.", "Keep one of them.")
    if "prompt_id" in frame.index.names:
        frame = _index_to_column(frame, where)
    for name in frame.columns:
        column = plain(frame[name])
        if column is not frame[name]:
            frame[name] = column
    frame.attrs = dict(given.attrs)
    return frame


def _index_to_column(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    if "prompt_id" not in frame:
        return frame.reset_index()
    level = frame.index.get_level_values("prompt_id").to_numpy(dtype=object)
    other = np.flatnonzero(level != frame["prompt_id"].to_numpy(dtype=object))
    if len(other):
        wrong = f"is both index and column, and they differ in row {shown(other)}."
        reject(f"{where}, 'prompt_id'", wrong, "Drop one, e.g. table.reset_index(drop=True).")
    return frame.reset_index("prompt_id", drop=True) if frame.index.nlevels > 1 else frame.reset_index(drop=True)


class Odd(NamedTuple):
    """What keeps a column from being read as numbers: which positions, what they are, what to do."""

    rows: NDArray[np.intp]
    wrong: str
    remedy: str


_WHOLE = {
    "m": ("durations", "Convert them to seconds: column.dt.total_seconds()."),
    "M": ("dates", "Pass numbers: a column of dates seems to stand under this name."),
    "c": ("complex numbers", "Pass real numbers, e.g. column.map(abs)."),
    "b": ("True and False", "Pass numbers: True and False are read as 1 and 0 for a quality only."),
}


def read_numbers(column: pd.Series, *, booleans: bool = False) -> NDArray[np.float64] | Odd:
    """Read a column as numbers, NaN where it is empty; text that is a number counts, all else is `Odd`.

    Examples
    --------
    >>> read_numbers(pd.Series(["0.5", None, 1])).tolist()
    [0.5, nan, 1.0]
    >>> read_numbers(pd.Series(pd.to_timedelta([2], unit="s"))).wrong
    'holds durations'
    """
    column = plain(column)
    kind = getattr(column.dtype, "kind", "O")
    if kind in "fiu" or (kind == "b" and booleans):
        return column.to_numpy(dtype=float)
    if kind in "mMcb":
        what, remedy = _WHOLE[kind]
        return Odd(np.arange(len(column)), f"holds {what}", remedy)
    values = np.full(len(column), np.nan)
    wrong: dict[str, list[int]] = {}
    for row, cell in enumerate(column.array):
        read = _number(cell, booleans)
        if isinstance(read, str):
            wrong.setdefault(read, []).append(row)
        else:
            values[row] = read
    if not wrong:
        return values
    kind = next(iter(wrong))
    what, remedy = _WHOLE.get(kind, (kind, "Convert it to numbers, and leave cells without one empty (NaN)."))
    return Odd(np.array(wrong[kind]), f"holds {what}", remedy)


def _number(cell: Any, booleans: bool) -> float | str:
    """Return a cell as a float, or what it is instead."""
    if isinstance(cell, (bool, np.bool_)):
        return float(cell) if booleans else "b"
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return float("nan")
    if isinstance(cell, (Real, Decimal, Fraction)):
        try:
            return float(cell)
        except OverflowError:
            return float("inf")
        except ValueError:  # Decimal("sNaN")
            return "a signalling NaN"
    if isinstance(cell, str):
        return float(cell) if _NUMBER.fullmatch(cell) else "text"
    for kinds, kind in (
        ((datetime.timedelta, np.timedelta64), "m"),
        ((datetime.date, np.datetime64, pd.Period), "M"),
        ((complex, np.complexfloating), "c"),
    ):
        if isinstance(cell, kinds):
            return kind
    return f"a {kind_of(cell)}"


def check_keys(frame: pd.DataFrame, where: str, columns: list[str]) -> None:
    """Insist on ids and model names that can be joined on: present, hashable, no blanks that nobody sees.

    Whole floats (integers that once shared a column with an empty cell) become integers again, in `frame`.

    Examples
    --------
    >>> check_keys(pd.DataFrame({"model": ["a", "a "]}), "outcomes table", ["model"])
    Traceback (most recent call last):
    routerlab.exceptions.TableError: outcomes table, column 'model': 'a ' in row 1 begins or ends with ...
    """
    for name in columns:
        column, place = frame[name], f"{where}, column '{name}'"

        def rows(bad: Any, column: pd.Series = column) -> str:
            return shown(frame.index[np.asarray(bad, dtype=bool)])

        missing = column.isna()
        if missing.any():
            remedy = "Fill or drop those rows"
            remedy += (
                ", or, if the file says 'NA' or 'null' there, read it with pd.read_csv(..., keep_default_na=False)."
            )
            reject(place, f"is empty in row {rows(missing)}.", remedy)
        try:
            values = column.unique()
        except TypeError:
            bad = [not _hashable(value) for value in column]
            what = kind_of(column[bad].iloc[0])
            reject(place, f"holds a {what} in row {rows(bad)}.", "Ids and names must be text or numbers.")
        if column.dtype.kind == "f":
            whole = np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)
            if not whole.all():
                reject(place, f"got {shown(values[~whole])}.", "Use text or whole numbers as ids.")
            frame[name] = column.astype(np.int64)
        elif column.dtype.kind == "O" and not (name == "prompt_id" and where.startswith("judgments")):
            # Vote logs of earlier versions hold ids of any text; the prompts table is where they are looked at.
            _check_labels(column, values, place, rows, strict=name != "prompt_id")


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _check_labels(
    column: pd.Series, values: NDArray[Any], place: str, rows: Callable[[Any], str], *, strict: bool
) -> None:
    """Refuse bytes, blanks, and labels that differ only by blanks or by kind (1 and '1')."""
    raw = [value for value in values if isinstance(value, bytes)]
    if raw:
        reject(
            place, f"holds bytes, {shown(raw)}, in row {rows(column.isin(raw))}.", "Decode them: .str.decode('utf-8')."
        )
    texts = [value for value in values if isinstance(value, str)]
    bare = {text: text.strip().strip(_UNSEEN).strip() for text in texts}
    blank = [text for text in texts if not bare[text]]
    if blank:
        reject(place, f"is blank in row {rows(column.isin(blank))}.", "Fill or drop those rows.")
    padded = [text for text in texts if bare[text] != text]
    if not strict:  # an id may be what it likes to be, as long as no other looks the same
        looks = Counter(bare.values())
        padded = [text for text in padded if looks[bare[text]] > 1 or text.strip(_UNSEEN) != text]
    if padded:
        wrong = f"{shown(padded)} in row {rows(column.isin(padded))} begins or ends with a blank."
        reject(place, wrong, "Strip it: .str.strip(), and .str.strip('\\ufeff') for a byte order mark.")
    twins = {str(value): kind_of(value) for value in values if not isinstance(value, str)}
    twins = {text: kind for text, kind in twins.items() if text in bare}
    if twins:
        wrong = f"has {shown(twins)} both as text and as {shown(map(str, set(twins.values())))}."
        reject(place, wrong, "Use one kind: column.map(str).")


def id_remedy(a: pd.Index, b: pd.Index, names: tuple[str, str], remedy: str) -> str:
    """Return what to do about ids that differ: `remedy`, unless they are numbers on one side and text on the other.

    Examples
    --------
    >>> id_remedy(pd.Index([1]), pd.Index(["1"]), ("X", "quality"), "Select the same.")
    'They are numbers in X and text in quality: make both text, e.g. ids.map(str).'
    """
    a, b = a.infer_objects(), b.infer_objects()  # numbers may stand in an index of objects
    for (one, its), (other, theirs) in (((a, names[0]), (b, names[1])), ((b, names[1]), (a, names[0]))):
        if pd.api.types.is_any_real_numeric_dtype(one) and not pd.api.types.is_any_real_numeric_dtype(other):
            if not one.map(str).intersection(other.map(str)).empty:
                return f"They are numbers in {its} and text in {theirs}: make both text, e.g. ids.map(str)."
    return remedy


def sound_text(text: str) -> str:
    r"""Return text that any file and column can hold: half a surrogate pair becomes a replacement mark.

    Examples
    --------
    >>> sound_text("\ud83d\ude00") == "\N{GRINNING FACE}", sound_text("a\ud83d") == "a\N{REPLACEMENT CHARACTER}"
    (True, True)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def read_json(text: str) -> Any:
    r"""Read JSON whose texts any file and column can hold: pyarrow's columns take no half surrogate pair.

    Examples
    --------
    >>> read_json('{"a": ["\\ud83d"]}') == {"a": ["\N{REPLACEMENT CHARACTER}"]}
    True
    """
    value = json.loads(text)
    return _sound(value) if "\\ud" in text.lower() else value


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return sound_text(value)
    if isinstance(value, dict):
        return {sound_text(key): _sound(inner) for key, inner in value.items()}
    return [_sound(inner) for inner in value] if isinstance(value, list) else value
