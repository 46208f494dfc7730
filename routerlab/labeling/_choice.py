"""The draw of the next pair, with the probability that it had."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routerlab.labeling._candidates import Candidates
from routerlab.labeling._design import RatingState, ranking_gain, score_of
from routerlab.labeling._showing import Drawn

STRATEGIES = ("information", "random", "by_intent")


class Remaining:
    """The candidates not drawn yet. Those of one cell are neighbours, so that a draw looks at one cell only."""

    # A restriction hides candidates: they are not drawn and not counted until it is lifted.

    def __init__(self, cell: NDArray[np.intp], n_cells: int, seed: int) -> None:
        self._cell = cell
        self._start = np.searchsorted(cell, np.arange(n_cells + 1))
        self._left = np.ones(len(cell), dtype=bool)
        self.allowed = np.ones(len(cell), dtype=bool)
        self._common = np.random.default_rng(seed).permutation(len(cell))
        self.counts = np.diff(self._start)
        self.total = len(cell)

    def remove(self, candidate: int) -> None:
        """Take a candidate out, if it is there."""
        if self._left[candidate]:
            self._left[candidate] = False
            if self.allowed[candidate]:
                self.counts[self._cell[candidate]] -= 1
                self.total -= 1

    def put_back(self, candidate: int) -> None:
        """Put a candidate in again; the counts hold after the next `restrict`."""
        self._left[candidate] = True

    def restrict(self, allowed: NDArray[np.bool_]) -> None:
        """Leave only the candidates in `allowed`, a mask of shape (n_candidates,)."""
        self.allowed = allowed
        self.counts = np.bincount(self._cell[self._left & allowed], minlength=len(self.counts))
        self.total = int(self.counts.sum())

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


class Chooser:
    """Draws candidates by a strategy, mixed with a random share."""

    def __init__(self, candidates: Candidates, strategy: str, random_share: float, overlap: bool) -> None:
        if strategy not in STRATEGIES:
            msg = f"The 'strategy' parameter of PairQueue must be one of {', '.join(STRATEGIES)}. Got {strategy!r}."
            raise ValueError(msg)
        self.candidates = candidates
        self.strategy = strategy
        self.random_share = 1.0 if strategy == "random" else checked_share(random_share, "random_share")
        self.overlap = overlap
        self.remaining = Remaining(candidates.cell, candidates.n_cells, int(candidates.dataset_id, 16))
        self.ratings = RatingState(len(candidates.groups), len(candidates.models))
        self.votes_by_group = np.zeros(len(candidates.groups), dtype=np.intp)
        self._cells = np.flatnonzero(self.remaining.counts)

    def draw(self, rng: np.random.Generator, probability: float) -> Drawn:
        """Draw from what is left, which must not be nothing; a draw happens at all with `probability`."""
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
        return Drawn(candidate, side_seed % 2 == 0, side_seed, float(probability * chance), chosen_by)

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
        score, first_on_left = score_of(record["winner"]), self.candidates.first_on_left(candidate, record["model_a"])
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
        msg = f"The '{name}' parameter of PairQueue must be {wanted}. Got {share!r} instead."
        raise ValueError(msg)
    return share


def entropy(random_state: int | np.random.Generator | None) -> int:
    """Return the seed of a queue, whose draws must not depend on how often it was asked."""
    if random_state is None:
        return secrets.randbits(63)
    return int(random_state.integers(2**63) if isinstance(random_state, np.random.Generator) else random_state)
