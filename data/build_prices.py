"""Build the history of prices and retirements that ships: ``routerlab/market/data/{price_history,retirements}.csv``.

    python data/build_prices.py                         # download the pinned wheels, write the files
    python data/build_prices.py --check                 # the same in memory, compared with the files
    python data/build_prices.py --compare history.csv   # and with another reading of the same catalogues

Two packages bundle LiteLLM's catalogue of list prices (MIT) as it was on the day that each of their wheels was made:
``tokencost`` (2024 to 2025) and ``litellm`` (2023, 2025 to 2026). Some thirty wheels, pinned by sha256, are so many
sightings of every price. The dated prices of ``genai-prices`` (installed, pinned here) know days that catalogues miss.

An edit of a catalogue is not always a change of price. An edit counts as a *correction*, not a change, if the entry was
new (seen for the first time at most 30 days before), if it was undone within 30 days, if a decimal point slipped, or if
the price moved by more than a factor of ten, which providers do not. The wrong price is the one before in a new entry,
the one after where it was undone or slipped, else the one that stood shorter. Its row is kept, marked 'correction', and
its time is given to its neighbour.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "routerlab" / "market" / "data"
PINS = Path(__file__).with_name("price_wheels.csv")  # package, version, seen, sha256
CATALOGUES = ("tokencost/model_prices.json", "litellm/model_prices_and_context_window_backup.json")
MODES = ("chat", "completion", "responses")
# LiteLLM's names for who sells, and those of genai-prices; others are resellers or repeat these.
PROVIDERS = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "gemini": "google",
    "vertex_ai-language-models": "google",
    "vertex_ai-chat-models": "google",
    "mistral": "mistral",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "groq": "groq",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "anyscale": "anyscale",
    "deepinfra": "deepinfra",
    "perplexity": "perplexity",
    "moonshot": "moonshotai",
    "zai": "zai",
    "cerebras": "cerebras",
    "replicate": "replicate",
}
GENAI_PRICES = "0.2.3"
NEW_DAYS = UNDONE_DAYS = 30
MOST_RATIO = 10.0
DIGITS = 6


class Step(NamedTuple):
    """A price, from the day on which it was first seen."""

    input: float
    output: float
    cached: float | None
    after: date | None  # the last day on which the price before it was seen
    since: date | None
    last: date | None
    source: str
    change: str = ""

    def like(self, other: Step) -> bool:
        """Whether both ask the same."""
        return (self.input, self.output) == (other.input, other.output)

    def blended(self) -> float:
        """USD per 1M tokens of three parts input and one part output."""
        return (3 * self.input + self.output) / 4


def wheels(folder: Path) -> Iterator[tuple[Any, Path]]:
    """Download the pinned wheels and yield each with its row of pins, in order of time."""
    for pin in pd.read_csv(PINS, dtype=str).sort_values(["seen", "package"]).itertuples():
        place = folder / pin.file
        if not place.exists():
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder)]
            command += ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
            command += [f"--platform={name}" for name in ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "any")]
            subprocess.run([*command, f"{pin.package}=={pin.version}"], check=True)
        found = hashlib.sha256(place.read_bytes()).hexdigest()
        if found != pin.sha256:
            sys.exit(f"{place.name}: sha256 is {found}, expected {pin.sha256}. The index serves another file.")
        yield pin, place


def catalogue(place: Path) -> dict[str, dict[str, Any]]:
    """Read the catalogue that a wheel bundles."""
    with zipfile.ZipFile(place) as file:
        name = next(name for name in file.namelist() if name in CATALOGUES)
        return {key: entry for key, entry in json.loads(file.read(name)).items() if isinstance(entry, dict)}


def named(key: str, entry: dict[str, Any]) -> tuple[str, str] | None:
    """Return who sells an entry's model and by which name, or None if the history leaves it out."""
    provider = PROVIDERS.get(str(entry.get("litellm_provider")))
    if provider is None or entry.get("mode") not in MODES or key.startswith(("ft:", "bedrock/", "azure/global", "us/")):
        return None
    if key.startswith(("azure/eu/", "azure/us/", "azure_ai/")) or "commitment" in key:
        return None  # prices of a region or a contract
    name = key.removeprefix(f"{entry['litellm_provider']}/").removeprefix("text-completion-openai/")
    return provider, name.removeprefix("accounts/fireworks/models/")


def per_1m(entry: dict[str, Any], name: str) -> float | None:
    """Return a price in USD per 1M tokens."""
    try:
        return round(1e6 * float(entry[name]), DIGITS)
    except (KeyError, TypeError, ValueError):
        return None


def sightings(folder: Path) -> tuple[dict[tuple[str, str], list[Step]], list[date], pd.DataFrame]:
    """Read all catalogues: steps of every offer, the days of the catalogues, and the newest one's retirements."""
    steps: dict[tuple[str, str], list[Step]] = {}
    days: list[date] = []
    retired = pd.DataFrame()
    for pin, place in wheels(folder):
        seen, source = date.fromisoformat(pin.seen), f"{pin.package} {pin.version}"
        days.append(seen)
        entries = catalogue(place)
        for key, entry in entries.items():
            at, prices = named(key, entry), [per_1m(entry, f"{kind}_cost_per_token") for kind in ("input", "output")]
            if at is None or prices[0] is None or prices[1] is None:
                continue
            step = Step(prices[0], prices[1], per_1m(entry, "cache_read_input_token_cost"), None, seen, seen, source)
            known = steps.setdefault(at, [])
            if known and known[-1].last == seen:
                continue  # two keys for one offer: the first counts
            if known and known[-1].like(step):
                known[-1] = known[-1]._replace(last=seen, cached=step.cached or known[-1].cached)
            else:
                known.append(step._replace(after=known[-1].last if known else None))
        if pin.package == "litellm":
            retired = retirements(entries, source, seen)
    return steps, days, retired


def corrected(steps: list[Step]) -> list[Step]:
    """Mark the prices that a catalogue took back, and give their time to their neighbours."""
    wrong: list[Step] = []
    kept = [steps[0]._replace(change="first")]
    for step in steps[1:]:
        old = kept[-1]
        slipped = slip(old.input, step.input) and slip(old.output, step.output)
        young = (step.since - kept[0].since).days <= NEW_DAYS  # type: ignore[operator]
        factor = step.blended() / old.blended() if old.blended() and step.blended() else 1.0
        free = (old.blended() == 0) != (step.blended() == 0)
        if step.like(old):
            kept[-1] = old._replace(last=step.last)
        elif young or (far(factor) and not slipped and stood(old) <= stood(step)):
            wrong.append(old._replace(change="correction"))
            kept[-1] = step._replace(since=old.since, after=old.after, change=old.change)
        elif slipped or far(factor):
            wrong.append(step._replace(change="correction"))
        else:
            kept.append(step._replace(change="rise" if factor > 1 or (free and step.blended()) else "cut"))
    final: list[Step] = []
    for place, step in enumerate(kept):
        back = kept[place + 1] if place + 1 < len(kept) else None
        undone = final and back and back.like(final[-1]) and (back.since - step.since).days <= UNDONE_DAYS  # type: ignore[operator]
        if undone:
            wrong.append(step._replace(change="correction"))
        elif final and step.like(final[-1]):
            final[-1] = final[-1]._replace(last=step.last)
        else:
            final.append(step)
    return sorted([*final, *wrong], key=lambda s: (s.since or date.min, s.change == "correction"))


def far(factor: float) -> bool:
    """Whether a price moved further than providers move them."""
    return not 1 / MOST_RATIO < factor < MOST_RATIO


def slip(old: float, new: float) -> bool:
    """Whether two prices differ by the place of the decimal point alone."""
    power = math.log10(new / old) if old and new else 0.0
    return abs(power) > 0.5 and abs(power - round(power)) < 1e-3


def stood(step: Step) -> timedelta:
    """How long a price was seen."""
    return step.last - step.since  # type: ignore[operator]


def dated(folder: Path) -> dict[tuple[str, str], list[Step]]:
    """Return the prices that other lists give a date: first the one before, then each from its day on."""
    sys.path.insert(0, str(ROOT))
    from routerlab.market import load_offers
    from routerlab.pricing import price_list_info

    if price_list_info().version != GENAI_PRICES:
        sys.exit(f"genai-prices is {price_list_info().version}, expected {GENAI_PRICES}: install that one.")
    found: dict[tuple[str, str], list[Step]] = {}
    offers = load_offers().sort_values(["provider", "model", "valid_from"], na_position="first", kind="stable")
    for (provider, model), rows in offers.groupby(["provider", "model"]):
        steps: list[Step] = []
        for row in rows.itertuples():
            since = None if pd.isna(row.valid_from) else row.valid_from.date()
            cached = None if pd.isna(row.cache_read_usd_per_1m) else row.cache_read_usd_per_1m
            eve = since and since - timedelta(days=1)
            step = Step(row.input_usd_per_1m, row.output_usd_per_1m, cached, eve, since, None, row.source)
            if not steps or not steps[-1].like(step):
                steps.append(step)
        if len(steps) > 1:
            found[provider, model] = steps
    return found


def merged(steps: list[Step], others: list[Step]) -> list[Step]:
    """Put dated prices among those that the catalogues saw: they are right about the day, and miss no change."""
    wrong = [s for s in steps if s.change == "correction"]
    steps = [s for s in steps if s.change != "correction"]
    if not steps:
        return [s._replace(change=change_of(others, k)) for k, s in enumerate(others)]
    for old, new in zip(others, others[1:], strict=False):
        day: date = new.since  # type: ignore[assignment]
        before = [k for k, s in enumerate(steps) if s.since is None or s.since <= day + timedelta(days=3)]
        same = [k for k, s in enumerate(steps) if s.like(new) and s.since is not None and k > 0]
        match = next((k for k in same if steps[k - 1].like(old) and steps[k].since >= day - timedelta(days=3)), None)  # type: ignore[operator]
        if match is not None:
            source = f"{steps[match].source}; day: {new.source}"
            steps[match] = steps[match]._replace(since=day, after=new.after, source=source)
        elif before and not steps[before[-1]].like(new):
            steps.insert(before[-1] + 1, new)
        elif not before:
            steps[:0] = [old, new]
    steps = [s for k, s in enumerate(steps) if k == 0 or not s.like(steps[k - 1])]
    return sorted(
        [*(s._replace(change=change_of(steps, k)) for k, s in enumerate(steps)), *wrong],
        key=lambda s: (s.since or date.min, s.change == "correction"),
    )


def change_of(steps: list[Step], place: int) -> str:
    """Say what a step did to the price."""
    if place == 0:
        return "first"
    return "rise" if steps[place].blended() > steps[place - 1].blended() else "cut"


def history(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the two tables that ship."""
    steps, days, retired = sightings(folder)
    other, rows = dated(folder), []
    for provider, model in sorted(steps.keys() | {at for at in other if at[0] in PROVIDERS.values()}):
        seen = steps.get((provider, model))
        known = merged(corrected(seen) if seen else [], other.get((provider, model), []))
        right = [s for s in known if s.change != "correction"]
        for step in known:
            if step.change == "correction":
                until = next((day for day in days if step.last and day > step.last), None)
            else:
                place = right.index(step)
                until = right[place + 1].since if place + 1 < len(right) else None
                if until is None and step.last is not None:  # gone from the catalogue: known until then
                    until = next((day for day in days if day > step.last), None)
            rows.append([provider, model, step.since, until, step.input, step.output, step.cached, step.change]
                        + [step.after, step.last, step.source])  # fmt: skip
    columns = ["provider", "model", "valid_from", "valid_to", "input_usd_per_1m", "output_usd_per_1m"]
    columns += ["cache_read_usd_per_1m", "change", "changed_after", "last_seen", "source"]
    return pd.DataFrame(rows, columns=columns), retired


def retirements(entries: dict[str, dict[str, Any]], source: str, seen: date) -> pd.DataFrame:
    """Return which models are, or will be, switched off, and what their sellers name as successors."""
    rows = []
    for key, entry in entries.items():
        at = named(key, entry)
        if at is not None and entry.get("deprecation_date"):
            rows.append([*at, entry["deprecation_date"], entry.get("successor_model")]
                        + [entry.get("deprecation_source") or entry.get("source"), source, seen])  # fmt: skip
    columns = ["provider", "model", "retired_on", "successor", "announced_at", "source", "observed_at"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(["provider", "model"]).sort_values(columns[:2])


def compare(table: pd.DataFrame, path: Path) -> None:
    """Print how far a second reading of the same catalogues agrees."""
    other = pd.read_csv(path)
    keys = zip(other["model_key"], other["provider"], strict=True)
    names = [named(key, {"litellm_provider": seller, "mode": "chat"}) for key, seller in keys]
    other[["provider", "model"]] = [at or ("", "") for at in names]
    mine = table[table["source"].str.contains("tokencost|litellm")]
    both = mine.merge(other, on=["provider", "model"], suffixes=("", "_other"))
    when = pd.to_datetime(both["last_seen"])
    here = (pd.to_datetime(both["first_seen"]) <= when) & (when <= pd.to_datetime(both["last_seen_other"]))
    both = both[here & (both["change"] != "correction")].drop_duplicates(["provider", "model", "valid_from"])
    same = (both["input_usd_per_1m"] - both["input_usd_per_mtok"]).abs() < 1e-6
    same &= (both["output_usd_per_1m"] - both["output_usd_per_mtok"]).abs() < 1e-6
    print(f"{same.sum():,} of {len(both):,} prices that both have are the same ({same.mean():.1%})")
    print(both.loc[~same, ["provider", "model", "last_seen", "input_usd_per_1m", "input_usd_per_mtok"]].to_string())


def main() -> None:
    """Build, check or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
    parser.add_argument("--compare", type=Path, help="another reading, with first_seen and last_seen")
    parser.add_argument("--wheels", type=Path, help="folder to keep the wheels in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tables = history(given.wheels or Path(scratch))
    for table, name in zip(tables, ("price_history.csv", "retirements.csv"), strict=True):
        text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        if given.check and (FOLDER / name).read_text(encoding="utf-8") != text:
            sys.exit(f"{name} differs from what the wheels say. Run without --check, and look at the difference.")
        if not given.check:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"{name}: {len(table):,} rows, {len(text) / 1e3:,.0f} kB")
    if given.compare:
        compare(tables[0], given.compare)


if __name__ == "__main__":
    main()
