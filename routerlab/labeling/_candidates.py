"""Every pair that a table of responses holds, and the draw of the one that tells most about the ranking."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from routerlab.ratings import information, solve_bradley_terry, vote_information
from routerlab.schema import check_choice, check_prompts, check_responses, refuse_parameter, reject, shown
from routerlab.stats import Floats

STRATEGIES = ("information", "random", "by_intent")


def dataset_id(responses: pd.DataFrame) -> str:
    """Return a name for the content of a responses table, whatever the order of its rows.

    Parameters
    ----------
    responses : DataFrame
        ``prompt_id``, ``model``, ``response``; see `routerlab.schema.check_responses`.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256. A vote log carries it, which keeps votes on other responses out.

    Examples
    --------
    >>> table = pd.DataFrame({"prompt_id": ["p", "p"], "model": ["x", "y"], "response": ["Yes", "No"]})
    >>> dataset_id(table) == dataset_id(table[::-1])
    True
    """
    digest = hashlib.sha256()
    columns = (responses["prompt_id"], responses["model"], responses["response"])
    for row in sorted(tuple(str(cell) for cell in row) for row in zip(*columns, strict=True)):
        for cell in row:
            data = cell.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Candidates:
    """Every pair of different responses to the same prompt, as index arrays of shape (n_pairs,).

    Pairs are sorted by cell: a cell is one (group, first model, second model).
    """

    prompt_ids: list[Any]
    prompts: list[str]
    models: list[str]
    groups: list[Any]
    texts: NDArray[np.object_]  # (n_prompts, n_models), None where missing
    group_of: NDArray[np.intp]  # (n_prompts,)
    prompt: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    cell: NDArray[np.intp]
    n_missing: int
    n_identical: int
    dataset_id: str

    @property
    def n_cells(self) -> int:
        """Number of (group, first, second), whether or not a pair is in it."""
        return len(self.groups) * len(self.models) ** 2

    def __len__(self) -> int:
        return len(self.prompt)

    def find(self, prompt_id: Any, model_a: Any, model_b: Any) -> int | None:
        """Return the candidate with this prompt and these models, in either order; None if there is none."""
        row, a, b = self._rows.get(prompt_id), self._columns.get(model_a), self._columns.get(model_b)
        if row is None or a is None or b is None:
            return None
        order, keys = self._sorted_keys
        key = (row * len(self.models) + min(a, b)) * len(self.models) + max(a, b)
        k = int(np.searchsorted(keys, key))
        return int(order[k]) if k < len(keys) and keys[k] == key else None

    def selected(self, pairs: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Look up rows of ``prompt_id`` and optionally ``model_a, model_b`` (in either order) among the candidates.

        Returns which candidates belong to some row, and which rows have a candidate.
        """
        columns = [name for name in ("model_a", "model_b") if name in pairs]
        if "prompt_id" not in pairs or len(columns) == 1:
            remedy = "It needs prompt_id, or prompt_id, model_a and model_b."
            reject("'pairs'", f"has the columns {list(pairs)}.", remedy)
        if columns:
            keys, wanted = self._keys, _pair_keys(pairs, self.prompt_ids, self.models)
        else:
            keys, wanted = self.prompt, pd.Index(self.prompt_ids).get_indexer(pd.Index(pairs["prompt_id"]))
        return np.isin(keys, wanted), np.isin(wanted, keys)

    def verdicts(self, judgments: pd.DataFrame) -> dict[int, str]:
        """Return candidate -> who won, by name, or 'tie' or 'both_bad'; rows without a candidate are refused."""
        found = {}
        for row in judgments.to_dict("records"):
            k = self.find(row["prompt_id"], row["model_a"], row["model_b"])
            if k is None:
                wrong = f"has a pair on prompt {row['prompt_id']!r} that the responses table does not hold."
                reject("'gold'", wrong, "Add those responses, or drop those rows.")
            found[k] = str(row[row["winner"]] if row["winner"] in ("model_a", "model_b") else row["winner"])
        return found

    def first_on_left(self, candidate: int, model_left: str) -> bool:
        """Whether the candidate's first model is the one on the left."""
        return self.models[self.first[candidate]] == model_left

    def pair_id(self, candidate: int, first_on_left: bool) -> str:
        """Name a showing: the pair, and the sides."""
        models = self.models[self.first[candidate]], self.models[self.second[candidate]]
        sides = models if first_on_left else models[::-1]
        name = repr((self.dataset_id, self.prompt_ids[self.prompt[candidate]], *sides))
        return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @cached_property
    def by_pair_id(self) -> dict[str, tuple[int, bool]]:
        """Candidate and side of every possible showing. Takes a second for 100,000 pairs."""
        return {self.pair_id(k, side): (k, side) for k in range(len(self)) for side in (True, False)}

    @cached_property
    def _rows(self) -> dict[Any, int]:
        return {prompt_id: k for k, prompt_id in enumerate(self.prompt_ids)}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {model: k for k, model in enumerate(self.models)}

    @cached_property
    def _keys(self) -> NDArray[np.intp]:
        return (self.prompt * len(self.models) + self.first) * len(self.models) + self.second

    @cached_property
    def _sorted_keys(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        order = np.argsort(self._keys)
        return order, self._keys[order]


def build_candidates(
    responses: pd.DataFrame,
    prompts: pd.DataFrame | None = None,
    by: str | pd.Series | None = None,
    pairs: pd.DataFrame | None = None,
) -> Candidates:
    """Enumerate the pairs of a responses table; missing and identical responses are left out and counted."""
    table = check_responses(responses)
    _text_or_missing(table)
    row, prompt_ids = pd.factorize(table["prompt_id"])
    col, models = pd.factorize(table["model"])
    ids = [_plain(value) for value in prompt_ids]
    texts = np.full((len(prompt_ids), len(models)), None, dtype=object)
    texts[row, col] = table["response"].where(table["response"].notna(), None).to_numpy(dtype=object)
    group, groups = _groups(prompt_ids, prompts, by)
    prompt, first, second, n_missing, n_identical = _pairs_of(texts)
    if pairs is not None:
        wanted = _pair_keys(pairs, prompt_ids, models)
        if (wanted < 0).any():
            odd = pairs.loc[wanted < 0, ["prompt_id", "model_a", "model_b"]].itertuples(index=False, name=None)
            reject(
                "'pairs'", f"{shown(odd)} is not in the responses table.", "Add those responses, or drop those rows."
            )
        keep = np.isin((prompt * len(models) + first) * len(models) + second, wanted)
        prompt, first, second = prompt[keep], first[keep], second[keep]
    if not len(prompt):
        reject(
            "responses table",
            f"holds no pair to compare: {len(models)} models, {len(prompt_ids)} prompts, {n_missing} pairs lack a "
            f"response, {n_identical} are identical.",
            "Give at least two models different responses to one prompt.",
        )
    cell = (group[prompt] * len(models) + first) * len(models) + second
    order = np.argsort(cell, kind="stable")
    return Candidates(
        prompt_ids=ids,
        prompts=_prompt_texts(prompt_ids, prompts),
        models=[str(m) for m in models],
        groups=groups,
        texts=texts,
        group_of=group,
        prompt=prompt[order],
        first=first[order],
        second=second[order],
        cell=cell[order],
        n_missing=n_missing,
        n_identical=n_identical,
        dataset_id=dataset_id(table),
    )


def _text_or_missing(table: pd.DataFrame) -> None:
    text = np.array([isinstance(response, str) for response in table["response"]], dtype=bool)
    bad = table["response"].notna().to_numpy() & ~text
    if bad.any():
        wrong = f"is not text for {shown(table.loc[bad, 'prompt_id'])} (got {shown(table.loc[bad, 'response'])})."
        reject("responses table, column 'response'", wrong, "Join the text of its parts, or empty those cells.")


def _plain(value: Any) -> Any:
    """Turn a prompt_id into what JSON gives back unchanged."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int):
        wrong = f"got {value!r} of type {type(value).__name__}, expected text or whole numbers."
        reject("responses table, column 'prompt_id'", wrong, "Convert it with .map(str).")
    return value


def _pairs_of(texts: NDArray[np.object_]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], int, int]:
    present = ~pd.isna(texts)
    rows, firsts, seconds, n_missing, n_identical = [], [], [], 0, 0
    for i, j in zip(*np.triu_indices(texts.shape[1], 1), strict=True):
        both = present[:, i] & present[:, j]
        same = both & (texts[:, i] == texts[:, j])
        keep = np.nonzero(both & ~same)[0]
        rows.append(keep)
        firsts.append(np.full(len(keep), i))
        seconds.append(np.full(len(keep), j))
        n_missing += int((~both).sum())
        n_identical += int(same.sum())
    if not rows:
        empty = np.empty(0, dtype=np.intp)
        return empty, empty, empty, 0, 0
    return np.concatenate(rows), np.concatenate(firsts), np.concatenate(seconds), n_missing, n_identical


def _groups(prompt_ids: Any, prompts: pd.DataFrame | None, by: str | pd.Series | None) -> tuple[Any, list[Any]]:
    if by is None:
        return np.zeros(len(prompt_ids), dtype=np.intp), [None]
    if isinstance(by, str):
        if prompts is None or by not in prompts:
            reject("'by'", f"{by!r} is not a column of the prompts table.", "Pass prompts that have it, or a Series.")
        by = check_prompts(prompts)[by]
    labels = pd.Series(by).reindex(pd.Index(prompt_ids))
    if labels.isna().any():
        remedy = "Give every prompt_id of the responses a group, or keep only responses to labelled prompts."
        reject("'by'", f"has no group for prompt {shown(labels.index[labels.isna()])}.", remedy)
    codes, values = pd.factorize(labels)
    plain = (v.item() if isinstance(v, np.generic) else v for v in values)
    return codes, [v if isinstance(v, str | int | float) else str(v) for v in plain]  # a record holds it as JSON


def _prompt_texts(prompt_ids: Any, prompts: pd.DataFrame | None) -> list[str]:
    if prompts is None:
        return [""] * len(prompt_ids)
    texts = check_prompts(prompts)["prompt"].reindex(pd.Index(prompt_ids))
    if texts.isna().any():
        reject(
            "responses table, column 'prompt_id'",
            f"{shown(texts.index[texts.isna()])} is not in the prompts table.",
            "Add those prompts, or keep responses[responses.prompt_id.isin(prompts.index)].",
        )
    return texts.tolist()


def _pair_keys(pairs: pd.DataFrame, prompt_ids: Any, models: Any) -> NDArray[np.intp]:
    """Code the pair of each row, whichever way round; -1 where the responses lack its prompt or a model."""
    row = pd.Index(prompt_ids).get_indexer(pd.Index(pairs["prompt_id"]))
    a, b = (pd.Index(models).get_indexer(pd.Index(pairs[name].astype(str))) for name in ("model_a", "model_b"))
    keys = (row * len(models) + np.minimum(a, b)) * len(models) + np.maximum(a, b)
    return np.where((row < 0) | (a < 0) | (b < 0), -1, keys)


class Remaining:
    """The candidates not drawn yet. Those of one cell are neighbours: a draw looks at one cell only."""

    # A restriction hides candidates: they are not drawn and not counted until it is lifted.

    def __init__(self, cell: NDArray[np.intp], n_cells: int, seed: int) -> None:
        self._cell = cell
        self._start = np.searchsorted(cell, np.arange(n_cells + 1))
        self._left = np.ones(len(cell), dtype=bool)
        self.allowed = np.ones(len(cell), dtype=bool)
        self._common = np.random.default_rng(seed).permutation(len(cell))
        self.counts = np.diff(self._start)
        self.total = self.n_allowed = len(cell)

    def remove(self, candidate: int) -> bool:
        """Take a candidate out, and tell whether it was there."""
        if not self._left[candidate]:
            return False
        self._left[candidate] = False
        self._change(candidate, -1)
        return True

    def give(self, candidate: int) -> None:
        """Put a candidate in again that `remove` took out."""
        if not self._left[candidate]:
            self._left[candidate] = True
            self._change(candidate, 1)

    def _change(self, candidate: int, by: int) -> None:
        if self.allowed[candidate]:
            self.counts[self._cell[candidate]] += by
            self.total += by

    def put_back(self, candidate: int) -> None:
        """Put a candidate in again; the counts hold after the next `restrict`."""
        self._left[candidate] = True

    def restrict(self, allowed: NDArray[np.bool_]) -> None:
        """Leave only the candidates in `allowed`, a mask of shape (n_candidates,)."""
        self.allowed = allowed
        self.counts = np.bincount(self._cell[self._left & allowed], minlength=len(self.counts))
        self.total = int(self.counts.sum())
        self.n_allowed = int(allowed.sum())

    def draw(self, rng: np.random.Generator, cells: NDArray[np.intp]) -> int:
        """Draw uniformly over all candidates left in `cells`."""
        upto = np.cumsum(self.counts[cells])
        k = int(rng.integers(upto[-1]))
        which = int(np.searchsorted(upto, k, side="right"))
        start = self._start[cells[which]]
        rows = slice(start, self._start[cells[which] + 1])
        inside = np.flatnonzero(self._left[rows] & self.allowed[rows])
        return int(start + inside[k - (upto[which - 1] if which else 0)])

    def first_in_common_order(self) -> int:
        """Return the candidate left that comes first in a random order, which is the same for all raters."""
        return int(self._common[np.argmax((self._left & self.allowed)[self._common])])


class Sampler:
    """Draws candidates by a strategy, mixed with a random share."""

    def __init__(self, candidates: Candidates, strategy: str, random_share: float, overlap: bool) -> None:
        check_choice(strategy, STRATEGIES, "strategy", "PairQueue")
        self.candidates = candidates
        self.strategy = strategy
        self.random_share = 1.0 if strategy == "random" else checked_share(random_share, "random_share")
        self.overlap = overlap
        self.remaining = Remaining(candidates.cell, candidates.n_cells, int(candidates.dataset_id, 16))
        self.ratings = RatingState(len(candidates.groups), len(candidates.models))
        self.votes_by_group = np.zeros(len(candidates.groups), dtype=np.intp)
        self._cells = np.flatnonzero(self.remaining.counts)

    def draw(self, rng: np.random.Generator) -> tuple[int, dict[str, Any]]:
        """Draw from what is left, which must not be nothing: a candidate, and how it was drawn (fields of `Pair`)."""
        side_seed = int(rng.integers(2**52))  # JavaScript holds it exactly
        left = self._cells[self.remaining.counts[self._cells] > 0]
        favoured = self._favoured(left) if self.random_share < 1 else left
        at_random = rng.random() < self.random_share
        if at_random and self.overlap:
            candidate = self.remaining.first_in_common_order()
        else:
            candidate = self.remaining.draw(rng, left if at_random else favoured)
        chance = self.random_share / self.remaining.total
        if self.candidates.cell[candidate] in favoured:
            chance += (1 - self.random_share) / self.remaining.counts[favoured].sum()
        chosen_by = "random" if at_random else self.strategy
        return candidate, {"side_seed": side_seed, "propensity": float(chance), "chosen_by": chosen_by}

    def take(self, candidate: int) -> None:
        """Hand a candidate out: it can't be drawn again, and a vote on it is expected."""
        self.remaining.remove(candidate)
        self.expect(candidate, 1.0)

    def expect(self, candidate: int, weight: float) -> None:
        """Count on a vote, or with weight -1 no longer."""
        self.ratings.expect(*self._models(candidate), weight=weight)

    def count(self, candidate: int, record: Mapping[str, Any], weight: float = 1.0) -> None:
        """Count a vote, or take it back with weight -1; a skip counts nothing."""
        if record.get("type", "vote") != "vote":
            return
        score = {"model_a": 1.0, "model_b": 0.0}.get(record["winner"], 0.5)
        first_on_left = self.candidates.first_on_left(candidate, record["model_a"])
        group, i, j = self._models(candidate)
        self.ratings.add(group, i, j, score if first_on_left else 1.0 - score, weight)
        self.votes_by_group[group] += int(weight)

    def _favoured(self, left: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those of the cells `left` that the strategy prefers to all others, and among which it is indifferent."""
        if self.strategy == "by_intent":
            worth = -self.votes_by_group[left // len(self.candidates.models) ** 2].astype(float)
        else:
            self.ratings.refit()
            worth = ranking_gain(self.ratings.ratings, self.ratings.covariance).ravel()[left]
        return left[worth >= worth.max() - 1e-9 * abs(worth.max())]

    def _models(self, candidate: int) -> tuple[int, int, int]:
        c = self.candidates
        return int(c.group_of[c.prompt[candidate]]), int(c.first[candidate]), int(c.second[candidate])


def checked_share(share: float, name: str) -> float:
    """Insist on a share in [0, 1]; not all showings can be repeats."""
    if not 0 <= share <= 1 or (share == 1 and name == "repeat_share"):
        wanted = "at least 0 and below 1" if name == "repeat_share" else "in [0, 1]"
        refuse_parameter(name, wanted, share, "PairQueue")
    return share


def entropy(random_state: int | np.random.Generator | None) -> int:
    """Return the seed of a queue, whose draws must not depend on how often it was asked."""
    if random_state is None:
        return secrets.randbits(63)
    return int(random_state.integers(2**63) if isinstance(random_state, np.random.Generator) else random_state)


class RatingState:
    """Ratings and covariance of every group, as far as votes go: what the choice of the next pair rests on.

    Each group has ratings of its own, pulled toward those of all groups together by a normal prior with standard
    deviation 1 (174 points). Votes that are still expected count in the covariance.
    """

    def __init__(self, n_groups: int, n_models: int) -> None:
        self.wins = np.zeros((n_groups, n_models, n_models))
        self.ratings = np.zeros((n_groups, n_models))
        self.covariance = np.zeros((n_groups, n_models, n_models))
        self._pooled = np.zeros(n_models)
        self._pending = np.zeros((n_groups, n_models, n_models))
        self._stale = np.ones(n_groups, dtype=bool)

    def add(self, group: int, i: int, j: int, score: float, weight: float = 1.0) -> None:
        """Count a vote in which i scored `score` (1 win, 0.5 tie, 0 loss) against j; weight -1 takes one back."""
        self.wins[group, i, j] += weight * score
        self.wins[group, j, i] += weight * (1.0 - score)
        self._stale[group] = True

    def expect(self, group: int, i: int, j: int, weight: float = 1.0) -> None:
        """Count a vote that is on its way; weight -1 when it has arrived."""
        self._pending[group, i, j] += weight
        self._pending[group, j, i] += weight
        self._stale[group] = True

    def refit(self) -> None:
        """Bring the groups that changed up to date."""
        changed = np.nonzero(self._stale)[0]
        if not len(changed):
            return
        if len(self.wins) > 1:
            self._pooled = solve_bradley_terry(self.wins.sum(axis=0), alpha=1.0, start=self._pooled)
        wins = self.wins[changed]
        ratings = solve_bradley_terry(wins, alpha=1.0, prior=self._pooled, start=self.ratings[changed])
        self.ratings[changed] = ratings
        counted = wins + self._pending[changed] / 2
        self.covariance[changed] = np.linalg.inv(information(counted, ratings) + np.eye(wins.shape[-1]))
        self._stale[:] = False


def difference_variance(covariance: Floats) -> Floats:
    """Variance of each difference of two ratings: shape (..., n_models, n_models)."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    return variance[..., :, None] + variance[..., None, :] - 2.0 * covariance


def ranking_gain(ratings: Floats, covariance: Floats) -> Floats:
    """Return how much one vote on each pair of models is expected to sharpen the ranking.

    Sums, over all pairs (a, b), the reduction of the standard error of their difference, times the probability that the
    difference has the wrong sign: votes go where the ranking is in doubt. A vote on (i, j) lowers the variance of every
    difference (a, b) by ``w c**2 / (1 + w s)``: c the covariance of the two differences, s the variance of (i, j), w =
    p (1 - p). The sum is a quadratic form, which costs O(n_models**3) for all (i, j) together.

    Ratings, of shape (n_groups, n_models), are in natural-log units. The result is symmetric, with a diagonal of 0.
    """
    m = ratings.shape[-1]
    spread = difference_variance(covariance)
    spread[:, range(m), range(m)] = 1.0
    error = np.sqrt(spread)
    difference = ratings[:, :, None] - ratings[:, None, :]
    weight = ndtr(-np.abs(difference) / error) / (2.0 * error)
    weight[:, range(m), range(m)] = 0.0
    laplacian = np.eye(m) * weight.sum(axis=2, keepdims=True) - weight
    reach = difference_variance(covariance @ laplacian @ covariance)
    worth = vote_information(ratings)
    gain = worth * reach / (1.0 + worth * spread)
    gain[:, range(m), range(m)] = 0.0
    return np.asarray(gain)
