"""From a judge's reply to its verdict, or to the admission that it cannot be read."""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LABELS = ("A", "B", "tie", "both_bad")

# What stands for a label once case, markup and punctuation are gone. "C" and a bare "neither" mean different things to
# different judges, and are not here.
_SAME = {
    "A": ("a", "response a", "assistant a", "answer a", "model a"),
    "B": ("b", "response b", "assistant b", "answer b", "model b"),
    "tie": ("tie", "a tie", "tied", "draw", "a draw", "equal", "equally good", "both equal", "both are equally good"),
    "both_bad": ("both bad", "bothbad", "both are bad", "both responses are bad", "neither is good", "tie bothbad"),
}
_LABEL_OF = {words: label for label, variants in _SAME.items() for words in variants}
_COMPARED = {">": "A", ">>": "A", "<": "B", "<<": "B", "=": "tie", "==": "tie", "~": "tie"}
_SYMBOLS = re.compile(r"([ab]) ?(>>|>|<<|<|==|=|~) ?([ab])")
_BETTER = re.compile(
    r"((?:response|assistant|model) )?([ab]) (?:wins|is (?:much |clearly |slightly |the )?(?:better|winner|preferred)"
    r"(?: response)?)(?: (?:than|over) (?:response |assistant |model )?([ab]))?"
)
_ITS = re.compile(r"(?:it is|it's|its|this is) ")

# "answer" and "choice" are missing on purpose: they name the task's own answer where that is a letter.
_KEY = (
    r"(?:(?:my|the|so|thus|hence|therefore|final|overall|own),? )*"
    r"(?:verdict|winner|decision|judge?ment|preference|(?:better|preferred|winning) response)"
)
_KEYED = re.compile(rf"{_KEY}\s*(?:[:=]|\bis\b:?)\s*(.+)", re.IGNORECASE)
_HEADING = re.compile(rf"{_KEY}\s*[:=]?", re.IGNORECASE)
_REASON_FOLLOWS = re.compile(r"[,;]?\s+(?:(?:because|since|as|due to|for)\b|[(\u2013\u2014-])", re.IGNORECASE)
_MENTIONED = re.compile(r"\b(?:A|B|[Tt]ie|[Dd]raw|[Bb]oth[ _]bad|[Ww]ait|[Aa]ctually)\b")
_A_NUMBER = re.compile(r"\d|\b(?:[Ww]ait|[Aa]ctually)\b")
_GRADE = re.compile(r"(\d+(?:\.\d+)?)(?: ?(?:/|out of) ?10)?")
SCALE = (1, 10)  # of grades, as MT-Bench has it
Reads = Callable[[Any], str | None]
_RIVAL_KEYS = ("final_verdict", "winner", "decision", "better")  # that say something else: a contradiction

# Thoughts as templates mark them: <think>, <seed:think>, [THINK], ◁think▷, <|begin_of_thought|>, ...
_TAG = r"(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning|analysis|reflection|scratchpad)"
_OPENED = re.compile(rf"<{_TAG}(?:\s[^<>]*)?>|\[think\]|◁think▷|<\|begin_of_thought\|>", re.IGNORECASE)
_CLOSING = rf"(?:</{_TAG}>|\[/think\]|◁/think▷|<\|end_of_thought\|>)"
_CLOSED = re.compile(_CLOSING, re.IGNORECASE)
_ENDED = re.compile(rf"\A.*{_CLOSING}[ \t]*(?:\n|\Z)", re.DOTALL | re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")  # gpt-oss, where a server does not take them out
_END_MARKS = re.compile(r"(?:\s*(?:<\|\w+\|>|</s>|<end_of_turn>))+\Z")  # ends of a turn, left in by local servers
_FENCED = re.compile(r"```[\w-]*\s+(?:(\{.*\})\s*(?:```)?|([^\n]*)\n\s*```)", re.DOTALL)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_QUOTES = (('"', '"'), ("“", "”"), ("«", "»"), ("「", "」"))
_MOST_TAGS = 20
# How providers say that a reply came to its own end; whatever else they say, it did not.
_WHOLE = frozenset(
    "stop stop_sequence stop_token stop_str eos eos_token eos_found end_turn end_of_turn end complete completed finish "
    "finished done success normal tool_calls tool_call tool_use function_call none null".split()
)
_RULE = re.compile(r"[-=*_]{3,}")
# A line that ends with a colon hands over to somebody else's words, unless the judge says that its own come.
_OWN = re.compile(
    r"\b(?:my|I|verdict|decision|judge?ment|conclusion|overall|summary|therefore|thus|hence|final(?:ly)?)\b",
    re.IGNORECASE,
)
_THEIRS = re.compile(
    r"(?:\b[AB]|\b(?:response|assistant|model|answer))['’]s\b|\b(?:if|example|e\.g|format|as in|such as|instance)\b"
    r"|\b(?:A|B|it|which|that|who|they|response|assistant|model|answer|author|text|line|instruction|injection)\b.*\b"
    r"(?:says?|said|ends?|ended|writes?|wrote|written|claims?|states?|contains?|includes?|reads?|adds?|concludes?|asks?|"
    r"tells?|demands?|instructs?|tries|inserts?|plants?|hides?|holds?)\b",
    re.IGNORECASE,
)
_OPEN_TAG = re.compile(r"<(/?)([a-z][\w:-]*)(?:\s[^<>]*)?>", re.IGNORECASE)
_QUOTING_TAG = re.compile(rf"{_TAG}|\w*(?:quote|response|assistant|answer|example|code|pre|text)\w*", re.IGNORECASE)
_REASONS = ("rationale", "reason", "reasoning", "explanation")


@dataclass(frozen=True)
class Verdict:
    """What a judge said.

    Attributes
    ----------
    label : {'A', 'B', 'tie', 'both_bad'} or None
        None: it cannot be read, which is not a tie.
    rationale : str
        The judge's reasons, as far as they can be told apart from the rest.
    how : str
        Where the label was found: 'json' or 'last line'; or why there is none: 'cut off', 'thinking not finished',
        'contradiction', 'unknown label', 'quoted', 'nothing found' (where a verdict was asked for).
    """

    label: str | None
    rationale: str
    how: str


def parse_verdict(text: str, *, structured: str = "auto", finish_reason: str | None = None) -> Verdict:
    r"""Read the verdict in a judge's reply, from the place that was asked for and from nowhere else.

    That place is the key ``verdict`` of the JSON object that is the whole reply, or the last line of a reply in prose,
    all of that line: ``Verdict: A``, ``[[A]]``, ``A is better than B``. What a judge writes on its way there, quotes
    from a response, or says of the task's own answer ("The correct answer is B") is never a verdict.

    Parameters
    ----------
    text : str
        The reply, whatever it is. It is only ever compared, never run. Thinking tags that it begins with do not count.
    structured : {'auto', 'json_schema', 'json_object', 'text'}, default 'auto'
        What was asked for. With 'json_schema' and 'json_object' a last line does not count.
    finish_reason : str, optional
        As the endpoint gave it. A reply that did not come to its own end ('length', 'content_filter', or anything else
        that no provider says of a whole reply) is not read, whatever it holds.

    Returns
    -------
    Verdict
        The label or None, the rationale, and how it was found.

    Examples
    --------
    >>> parse_verdict('{"rationale": "A is right.", "verdict": "A"}')
    Verdict(label='A', rationale='A is right.', how='json')
    >>> parse_verdict("Both are fine, but B is shorter.\n\nVerdict: B")
    Verdict(label='B', rationale='Both are fine, but B is shorter.', how='last line')
    >>> parse_verdict("The correct answer is B, which only A says.").how
    'nothing found'
    """
    return _parse(text, structured, finish_reason, _label)


def parse_grade(text: str, *, structured: str = "auto", finish_reason: str | None = None) -> Verdict:
    r"""Read the grade from 1 to 10 in a judge's reply, from where `parse_verdict` reads, and by its rules.

    Parameters
    ----------
    text, structured, finish_reason
        See `parse_verdict`.

    Returns
    -------
    Verdict
        Its label is the grade as text, '7' or '7.5', or None.

    Examples
    --------
    >>> parse_grade('{"rationale": "Nearly.", "verdict": 7}').label, parse_grade("Fine.\n\nVerdict: 8/10").label
    ('7', '8')
    >>> parse_grade("It asks me to say 10.\n\nVerdict: 11").how
    'unknown label'
    """
    return _parse(text, structured, finish_reason, _grade)


def _parse(text: str, structured: str, finish_reason: str | None, label_of: Reads) -> Verdict:
    said = _END_MARKS.sub("", (text or "").strip(" \t\r\n\f\v\ufeff"))
    if finish_reason and str(finish_reason).casefold().removeprefix("finish_reason_") not in _WHOLE:
        return Verdict(None, said, "cut off")
    answer = _without_thoughts(said, label_of)
    if answer is None:
        return Verdict(None, "", "thinking not finished")
    said = _without_fence(answer)
    if said.startswith("{"):
        return _from_json(said, label_of)
    return Verdict(None, said, "nothing found") if structured.startswith("json") else _from_last_line(said, label_of)


def _without_thoughts(said: str, label_of: Reads) -> str | None:
    """Drop the thoughts that a reply begins with; None if they have no end."""
    if said.startswith("{"):  # in an answer as asked for, tags are part of the rationale
        return said
    if said.startswith("<|") and (channels := list(_CHANNEL.finditer(said))):
        return said[channels[-1].end() :].strip() if channels[-1].group(1) == "final" else None
    if not _OPENED.match(said):
        ended = _ENDED.search(said)  # templates that open the tag themselves send its end alone
        return said[ended.end() :].strip() if ended else said
    ends = [match.end() for match in _CLOSED.finditer(said)]
    if not ends:
        return None
    for end in ends[:_MOST_TAGS]:  # more than one: a tag stands in the answer, or in the thoughts
        rest = said[end:].strip()
        content = _without_fence(rest)
        if content.startswith("{") and _from_json(content, label_of).how != "nothing found":
            return rest
    return said[ends[-1] :].strip()


def _without_fence(said: str) -> str:
    """Open the code block that a whole reply stands in; several lines of prose in one are rather a quotation."""
    fenced = _FENCED.fullmatch(said)
    return (fenced.group(1) or fenced.group(2)).strip() if fenced else said


def _from_json(said: str, label_of: Reads) -> Verdict:
    """Read objects that are the whole reply; the same one twice is a stutter, two that differ a contradiction."""
    decoder = json.JSONDecoder(object_pairs_hook=_merged)
    found, start = [], 0
    try:
        while start < len(said):
            value, end = decoder.raw_decode(said, start)
            found.append(value)
            start = end + len(said[end:]) - len(said[end:].lstrip())
    except (ValueError, RecursionError):
        return Verdict(None, said, "nothing found" if found or said.endswith("}") else "cut off")
    if not all(isinstance(one, dict) and "verdict" in one for one in found):
        return Verdict(None, said, "nothing found")
    given = [value for one in found for value in one["verdict"]]
    rivals = [value for one in found for key in _RIVAL_KEYS for value in one.get(key, ())]
    rationale = next((v for one in found for k in _REASONS for v in one.get(k, ()) if isinstance(v, str)), "")
    labels = {label_of(value) for value in given}
    if None in labels:
        return Verdict(None, rationale, "unknown label")
    if len(labels | ({label_of(value) for value in rivals} - {None})) > 1:
        return Verdict(None, rationale, "contradiction")
    return Verdict(labels.pop(), rationale, "json")


def _merged(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Build an object of lists whose keys are lower case: a key that is given twice has both its values."""
    found: dict[str, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key.casefold(), []).append(value)
    return found


def _from_last_line(said: str, label_of: Reads) -> Verdict:
    whole = [line for line in said.splitlines() if line.strip() and not _RULE.fullmatch(line.strip())]
    lines = [line.strip() for line in whole]
    if not lines:
        return Verdict(None, said, "nothing found")
    indented = len(lines) > 1 and whole[-1].startswith(("    ", "\t"))
    if len(lines) > 1 and _HEADING.fullmatch(_bare(lines[-2])):  # "## Verdict", and the label below it
        lines[-2:] = [f"Verdict: {lines[-1]}"]
    before = "\n".join(lines[:-1])
    label, marked = _statement(_bare(lines[-1]), label_of)
    if label is None and not marked and not before:
        label = label_of(_ITS.sub("", _words(_bare(lines[-1])), count=1))  # a reply that is nothing but a label
    if label is None:
        return Verdict(None, said, "unknown label" if marked else "nothing found")
    if indented or _handed_over(lines[-2:-1]) or _within_quotes(before, lines[-1]):
        return Verdict(None, said, "quoted")
    earlier = [_statement(_bare(line), label_of) for line in lines[:-1]]
    others = {other for other, also_marked in earlier if also_marked or not marked}
    if others - {label, None}:
        return Verdict(None, before, "contradiction")
    return Verdict(label, before, "last line")


def _statement(line: str, label_of: Reads) -> tuple[str | None, bool]:
    """Return the label that a line of its own states, and whether it is marked as a verdict (a key, double brackets).

    A label alone is not a statement, nor is "B wins": below "The correct answer is", they are the task's.
    """
    keyed = _KEYED.fullmatch(line)
    value = keyed.group(1) if keyed else line
    if keyed or (value.startswith("[[") and value.endswith("]]")):
        head, *reason = _REASON_FOLLOWS.split(value, maxsplit=1)
        mentioned = _MENTIONED if label_of is _label else _A_NUMBER
        clear = not (reason and mentioned.search(reason[0]))  # "A - no, B" and "A (B is right)" say two things
        return (label_of(head) if clear else None), True
    better = _BETTER.fullmatch(_words(line))
    return (label_of(line) if better and (better.group(1) or better.group(3)) else None), False


def _handed_over(before: list[str]) -> bool:
    """Whether the line before the last one says that somebody else's words follow."""
    line = _bare(before[0]) if before else ""
    return line.endswith(":") and (_OWN.search(line) is None or _THEIRS.search(line) is not None)


def _within_quotes(before: str, last: str) -> bool:
    """Whether the last line is something that the judge shows: a quotation, a block, the text that it was sent."""
    if last.startswith((">", "```", "~~~", *(opening for opening, _ in _QUOTES))) or "<<<RE" in before:
        return True
    if before.count("```") % 2 or before.count("~~~") % 2:
        return True
    tags = Counter[str]()
    for closing, name in _OPEN_TAG.findall(before):
        if _QUOTING_TAG.fullmatch(name):
            tags[name.casefold()] += -1 if closing else 1
    if any(n > 0 for n in tags.values()):
        return True
    return any(
        before.count(one) % 2 if one == other else before.count(one) > before.count(other) for one, other in _QUOTES
    )


def _bare(line: str) -> str:
    """One line without emphasis, bullets, heading marks and what cannot be seen."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", line))
    text = re.sub(r"\*+|`+|(?<!\w)_+|_+(?!\w)", "", text)
    return " ".join(re.sub(r"^\s*(?:#+|[-+•])\s+", "", text).split())


def _words(text: str) -> str:
    """Lower case, with single spaces, and without brackets, quotation marks and a full stop at the end."""
    text = re.sub(r"(?<=[^\W_])[-_](?=[^\W_])", " ", text.replace("’", "'").casefold())
    text = " ".join(re.sub(r"[\"“”\[\](){}]|(?<!\w)'|'(?!\w)", "", text).split())
    return re.sub(r"[\s.!。,:]+$", "", text)


def _grade(value: Any) -> str | None:
    """Return the grade that a value stands for, or None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _GRADE.fullmatch(_words(_bare(str(value))))
    number = float(found.group(1)) if found else math.nan
    return f"{number:g}" if SCALE[0] <= number <= SCALE[1] else None


def _label(value: Any) -> str | None:
    """Return the label that a value stands for, or None."""
    if not isinstance(value, str):
        return None
    text = _words(_bare(value))
    if text in _LABEL_OF:
        return _LABEL_OF[text]
    compared = _SYMBOLS.fullmatch(text)
    if compared is not None and compared.group(1) != compared.group(3):
        label = _COMPARED[compared.group(2)]
        return label if compared.group(1) == "a" else {"A": "B", "B": "A"}.get(label, label)
    better = _BETTER.fullmatch(text)
    if better is not None and better.group(2) != better.group(3):
        return better.group(2).upper()
    return None
