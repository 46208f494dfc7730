"""The draw of the next pair, with the probability that it had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routerlab.labeling._candidates import Candidates
from routerlab.labeling._design import RatingState, ranking_gain, score_of

STRATEGIES = ("information", "random", "by_intent")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A candidate that was drawn: which, what it repeats, how it was chosen."""

    candidate: int
    first_on_left: bool
    side_seed: int
    propensity: float
    chosen_by: str
    repeat_of: str | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """A vote that can be repeated with its sides swapped."""

    pair_id: str
    first_on_left: bool
    side_seed: int


class Remaining:
    """The candidates not drawn yet, by cell, with uniform draws, removal and return in constant time."""

    def __init__(self, cell: NDArray[np.intp], n_cells: int) -> None:
        self._cell = cell
        self.counts = np.bincount(cell, minlength=n_cells)
        self._start = np.concatenate(([0], np.cumsum(self.counts)[:-1]))
        self._order = np.arange(len(cell))
        self._position = np.arange(len(cell))
        self.total = len(cell)

    def __contains__(self, candidate: int) -> bool:
        cell = self._cell[candidate]
        return bool(self._position[candidate] < self._start[cell] + self.counts[cell])

    def remove(self, candidate: int) -> None:
        """Take a candidate out, if it is there."""
        if candidate in self:
            self._move(candidate, shrink=True)

    def restore(self, candidate: int) -> None:
        """Put a candidate back, if it is out."""
        if candidate not in self:
            self._move(candidate, shrink=False)

    def draw(self, rng: np.random.Generator, cells: NDArray[np.intp]) -> int:
        """Draw uniformly over all candidates left in `cells`."""
        upto = np.cumsum(self.counts[cells])
        k = int(rng.integers(upto[-1]))
        which = int(np.searchsorted(upto, k, side="right"))
        offset = k - (int(upto[which - 1]) if which else 0)
        return int(self._order[self._start[cells[which]] + offset])

    def _move(self, candidate: int, *, shrink: bool) -> None:
        """Swap the candidate with the one at the border between those left and those out, and move the border."""
        cell = self._cell[candidate]
        border = self._start[cell] + self.counts[cell] - (1 if shrink else 0)
        here, other = self._position[candidate], self._order[border]
        self._order[[here, border]] = other, candidate
        self._position[[other, candidate]] = here, border
        step = -1 if shrink else 1
        self.counts[cell] += step
        self.total += step


class Chooser:
    """Draws candidates by a strategy, mixed with a random share and swapped repeats."""

    def __init__(self, candidates: Candidates, strategy: str, random_share: float, repeat_share: float) -> None:
        if strategy not in STRATEGIES:
            msg = f"The 'strategy' parameter of PairQueue must be one of {', '.join(STRATEGIES)}. Got {strategy!r}."
            raise ValueError(msg)
        for name, share in (("random_share", random_share), ("repeat_share", repeat_share)):
            if not 0 <= share <= 1:
                msg = f"The '{name}' parameter of PairQueue must lie in [0, 1]. Got {share!r} instead."
                raise ValueError(msg)
        if repeat_share == 1:
            msg = "The 'repeat_share' parameter of PairQueue must be below 1: repeats need first showings."
            raise ValueError(msg)
        self.candidates = candidates
        self.strategy = strategy
        self.random_share = 1.0 if strategy == "random" else random_share
        self.repeat_share = repeat_share
        self.remaining = Remaining(candidates.cell, candidates.n_cells)
        self.ratings = RatingState(len(candidates.groups), len(candidates.models))
        self.votes_by_group = np.zeros(len(candidates.groups), dtype=np.intp)
        self._cells = np.nonzero(self.remaining.counts)[0]
        m = len(candidates.models)
        self._cell_group = self._cells // m**2

    def draw(self, rng: np.random.Generator, originals: dict[int, Original]) -> Drawn | None:
        """Draw the next showing; None when no pair is left."""
        if not self.remaining.total:
            return None
        side_seed = int(rng.integers(2**52)) * 2 + int(rng.random() < 0.5)
        repeat_share = self.repeat_share if originals else 0.0
        if rng.random() < repeat_share:
            candidate = list(originals)[int(rng.integers(len(originals)))]
            first = originals[candidate]
            return Drawn(
                candidate, not first.first_on_left, first.side_seed ^ 1, repeat_share / len(originals), "repeat",
                first.pair_id,
            )  # fmt: skip
        left = self._cells[self.remaining.counts[self._cells] > 0]
        favoured = self._favoured() if self.random_share < 1 else left
        at_random = rng.random() < self.random_share
        candidate = self.remaining.draw(rng, left if at_random else favoured)
        propensity = self.random_share / self.remaining.total
        if self.candidates.cell[candidate] in favoured:
            propensity += (1 - self.random_share) / self.remaining.counts[favoured].sum()
        return Drawn(
            candidate,
            side_seed % 2 == 0,
            side_seed,
            float((1 - repeat_share) * propensity),
            "random" if at_random else self.strategy,
        )

    def _favoured(self) -> NDArray[np.intp]:
        """Cells among which the strategy is indifferent, and which it prefers to all others."""
        open_ = self.remaining.counts[self._cells] > 0
        if self.strategy == "by_intent":
            worth = -self.votes_by_group[self._cell_group].astype(float)
        else:
            self.ratings.refit()
            worth = ranking_gain(self.ratings.ratings, self.ratings.covariance).ravel()[self._cells]
        worth = np.where(open_, worth, -np.inf)
        return self._cells[worth >= worth.max() - 1e-9 * abs(worth.max())]

    def take(self, candidate: int) -> None:
        """Hand a candidate out: it can't be drawn again, and a vote on it is expected."""
        self.remaining.remove(candidate)
        self.ratings.expect(*self._models(candidate))

    def settle(self, candidate: int, *, was_issued: bool) -> None:
        """Note that a candidate is decided, or was before."""
        self.remaining.remove(candidate)
        if was_issued:
            self.ratings.expect(*self._models(candidate), weight=-1.0)

    def count(self, candidate: int, first_on_left: bool, winner: str, weight: float = 1.0) -> None:
        """Count a vote, or take it back with weight -1."""
        score = score_of(winner)
        group, i, j = self._models(candidate)
        self.ratings.add(group, i, j, score if first_on_left else 1.0 - score, weight)
        self.votes_by_group[group] += int(weight)

    def _models(self, candidate: int) -> tuple[int, int, int]:
        c = self.candidates
        return int(c.group_of[c.prompt[candidate]]), int(c.first[candidate]), int(c.second[candidate])
