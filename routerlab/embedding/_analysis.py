"""Whether one set of prompts stands apart from another."""

from dataclasses import dataclass, field
from html import escape
from itertools import permutations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.special import expit, logit
from scipy.stats import rankdata, t as student

from routerlab.markup import fragment
from routerlab.schema import check_embeddings, provenance_of, refuse_parameter, reject, row_labels, shown, unit_rows
from routerlab.stats import Codes, Floats, check_confidence, few_groups_note, group_codes, group_sums


@dataclass(frozen=True, eq=False, repr=False)
class Separability:
    """How well a classifier tells our prompts from general ones, prompts that it was not trained on.

    Attributes
    ----------
    auc, low, high : float
        Chance that a prompt of ours is ranked above a general one, and its interval: 0.5 if the two cannot be told
        apart, 1 if they always can.
    p_value : float
        Permutation test of "both come from the same distribution", against a larger AUC; with groups, whole groups are
        permuted, and it is never below what the spread between groups gives.
    null_low, null_high : float
        Where the AUC lies with probability `confidence` when labels are shuffled. With few prompts that is wider than
        the interval, which holds the classifiers fixed: judge whether there is a difference by the p-value.
    n_ours, n_general, n_folds, n_permutations : int
        Prompts in each set, folds and permutations.
    scores : Series of shape (n_ours,)
        Out-of-fold score of each prompt of ours: the larger, the less it looks like a general one.
    confidence : float
        Nominal coverage of the interval.
    n_groups_ours, n_groups_general : int or None
        Groups in each set.
    note : str or None
        What to keep in mind, in words.
    """

    auc: float
    low: float
    high: float
    p_value: float
    null_low: float
    null_high: float
    n_ours: int
    n_general: int
    n_folds: int
    n_permutations: int
    confidence: float
    random_state: Any
    scores: pd.Series = field(compare=False)
    method: str = "out-of-fold ridge classifier, placement-value interval with the classifiers held fixed"
    provenance: str | None = None
    n_groups_ours: int | None = None
    n_groups_general: int | None = None
    note: str | None = None

    def to_frame(self) -> pd.DataFrame:
        """One row with all numbers, for tables of several comparisons."""
        row = {name: value for name, value in vars(self).items() if name not in ("scores", "random_state", "method")}
        return pd.DataFrame([row])

    def _lines(self) -> list[str]:
        of_groups = (
            "" if self.n_groups_ours is None else f" in {self.n_groups_ours:,} and {self.n_groups_general:,} groups"
        )
        lines = [
            f"AUC {self.auc:.3f} [{self.low:.3f}, {self.high:.3f}], p = {self.p_value:.2g}; "
            f"labels shuffled: {self.null_low:.3f} to {self.null_high:.3f}",
            f"n = {self.n_ours:,} of ours and {self.n_general:,} general prompts{of_groups}; "
            f"{100 * self.confidence:.5g}%; {self.n_folds} folds, {self.n_permutations:,} permutations; {self.method}",
        ]
        return [*lines, *(f"[{text}]" for text in (self.note, self.provenance) if text)]

    def __repr__(self) -> str:
        """Put the estimate first, then how it was made."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        first, *rest = (escape(line) for line in self._lines())
        return fragment(f"<div><strong>{first}</strong><br>" + "<br>".join(rest) + "</div>")


def domain_separability(
    X_ours: Any,
    X_general: Any,
    *,
    groups: Any = None,
    n_folds: int = 5,
    n_permutations: int = 999,
    confidence: float = 0.95,
    random_state: Any = 0,
) -> Separability:
    """Ask how well our prompts can be told from general ones: a classifier two-sample test.

    A ridge classifier learns which of the two sets a prompt comes from, and is scored on prompts that it has not
    seen. If it does no better than chance, a model trained on general prompts has no reason to do worse on ours. If
    it does better, the two differ in *something* that the embedding sees, be it topic, language, length or typing
    habits: necessary for a domain that deserves a model of its own, and not sufficient.

    Parameters
    ----------
    X_ours, X_general : DataFrame or array of shape (n_prompts, n_features)
        Embeddings from the same embedder, which must not have been trained on which set is which.
    groups : Series, array of shape (n_ours + n_general,), or pair of such, optional
        Conversation, customer or text that each prompt belongs to: a Series prompt_id -> group for both sets, an array
        for our prompts and then the general ones, or one of either for each set. Prompts of one conversation resemble
        each other whatever the set: a group lies within one fold, and labels are permuted by whole groups. A group lies
        within one set; one named in both counts as two.
    n_folds : int, default 5
        Each prompt is scored by a classifier trained on the other folds. With few groups there are fewer: each has two
        groups of each set at least.
    n_permutations : int, default 999
        Times that labels are shuffled, within folds. The smallest p-value is ``1 / (n_permutations + 1)``.
    confidence : float, default 0.95
        Of the interval.
    random_state : int or Generator, default 0
        Draws the folds and the permutations.

    Returns
    -------
    Separability
        AUC, interval, p-value, and a score for each prompt of ours.

    Raises
    ------
    TableError
        Embeddings of different widths, or fewer than two prompts a fold, or four groups, in one set.

    Notes
    -----
    Prompts are compared within their fold only, so each comparison uses one classifier. Labels are shuffled within
    folds and the classifiers trained again for each shuffle (a matrix product: the penalty and the folds do not depend
    on the labels), which makes the p-value exact for independent prompts. Groups that differ in size cannot all be
    exchanged for each other, so with `groups` a Student test of the AUC over groups must agree. Leave out repeated and
    near-identical prompts first, or give copies one group: with a twin in a training fold, a prompt is recognised and
    not classified.

    The interval is that of LeDell et al. [2]_ on the log-odds scale, summed over groups, with one prompt (or group) of
    no information added to each set: it keeps a width when all comparisons come out right. Near 0.5 it is as wide as
    the spread of AUCs of permuted labels.

    References
    ----------
    .. [1] D. Lopez-Paz and M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    .. [2] E. LeDell, M. Petersen and M. van der Laan, "Computationally efficient confidence intervals for
       cross-validated area under the ROC curve estimates", Electronic Journal of Statistics 9(1), 2015.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ours, general = rng.normal(size=(40, 8)), rng.normal(size=(60, 8))
    >>> domain_separability(ours, general).p_value > 0.05
    True
    >>> ours[:, 0] += 6  # now they differ in one feature
    >>> domain_separability(ours, general).auc > 0.9
    True
    """
    ours, general = check_embeddings(X_ours, name="X_ours"), check_embeddings(X_general, name="X_general")
    _check(ours, general, n_folds, n_permutations, confidence)
    rng = np.random.default_rng(random_state)
    units = _units(X_ours, X_general, groups, len(ours))
    n_folds = _fewer_folds(units, n_folds)
    rows = unit_rows(np.concatenate([ours, general])).astype(np.float64)
    is_ours = np.arange(len(rows)) < len(ours)
    counts = [int(part.max()) + 1 for part in units]
    fold = np.concatenate(
        [rng.permutation(np.arange(n) % n_folds)[part] for n, part in zip(counts, units, strict=True)]
    )
    codes = np.concatenate([units[0], counts[0] + units[1]])
    labels = _shuffled(is_ours, fold, codes, n_permutations, rng)  # the first column holds the true ones
    scores, place = np.empty(len(rows)), np.empty(len(rows))
    auc = np.zeros(labels.shape[1])
    for k in range(n_folds):
        test, train = fold == k, fold != k
        said = _trained_scores(rows[train], rows[test], labels[train])
        rank = rankdata(said, axis=0)
        auc += test.mean() * _auc(rank, labels[test])
        scores[test] = said[:, 0] + is_ours[train].mean()
        place[test] = _placements(said[:, 0], rank[:, 0], is_ours[test])
    tail = (1 - confidence) / 2
    null_low, null_high = np.quantile(auc[1:], [tail, 1 - tail])
    low, high, by_groups = _interval((place[is_ours], place[~is_ours]), units, auc, confidence)
    p_value = float(np.mean(auc >= auc[0] - 1e-12))
    index = row_labels(X_ours)
    return Separability(
        auc=float(auc[0]),
        low=low,
        high=high,
        p_value=p_value if groups is None else max(p_value, by_groups),
        null_low=float(null_low),
        null_high=float(null_high),
        n_ours=len(ours),
        n_general=len(general),
        n_folds=n_folds,
        n_permutations=n_permutations,
        confidence=confidence,
        random_state=random_state,
        scores=pd.Series(scores[is_ours], index=index, name="score"),
        provenance=provenance_of(X_ours, X_general),
        n_groups_ours=None if groups is None else counts[0],
        n_groups_general=None if groups is None else counts[1],
        note=None if groups is None else few_groups_note(min(units, key=np.max)),
    )


def _units(X_ours: Any, X_general: Any, groups: Any, n_ours: int) -> tuple[Codes, Codes]:
    """Group of each prompt, numbered from 0 in each set; without groups each prompt is its own."""
    index = [X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(X)) for X in (X_ours, X_general)]
    if groups is None:
        return np.arange(len(index[0])), np.arange(len(index[1]))
    if isinstance(groups, (tuple, list)) and len(groups) == 2:
        pair = groups
    elif isinstance(groups, pd.Series):
        pair = [groups, groups]
    else:
        if len(groups) != len(index[0]) + len(index[1]):
            reject(
                "'groups'",
                f"has {len(groups):,} entries for {len(index[0]):,} prompts of ours and {len(index[1]):,} general "
                "ones.",
                "Pass a Series prompt_id -> group, or a pair: groups of ours, groups of the general ones.",
            )
        pair = [np.asarray(groups, dtype=object)[:n_ours], np.asarray(groups, dtype=object)[n_ours:]]
    first, second = (group_codes(one, rows) for one, rows in zip(pair, index, strict=True))
    return np.asarray(first), np.asarray(second)


def _fewer_folds(units: tuple[Codes, Codes], n_folds: int) -> int:
    """As many folds as leave two groups of each set in each."""
    for name, part in zip(("ours", "general"), units, strict=True):
        if (n := int(part.max()) + 1) < 4:
            reject("'groups'", f"has {n} for X_{name}.", "Too few to say: four are the least, and twenty of some use.")
    return min(n_folds, *((int(part.max()) + 1) // 2 for part in units))


def _check(ours: Any, general: Any, n_folds: int, n_permutations: int, confidence: float) -> None:
    if ours.shape[1] != general.shape[1]:
        wrong = f"have {ours.shape[1]} and {general.shape[1]} features."
        reject("'X_ours' and 'X_general'", wrong, "Embed both with one embedder.")
    for name, value, least in (("n_folds", n_folds, 2), ("n_permutations", n_permutations, 1)):
        if not isinstance(value, (int, np.integer)) or value < least:
            refuse_parameter(name, f"an int of at least {least}", value, "domain_separability")
    check_confidence(confidence)
    for name, part in (("X_ours", ours), ("X_general", general)):
        if len(part) < 2 * n_folds:
            reject(f"'{name}'", f"has {len(part)} rows for {n_folds} folds.", f"Pass at least {2 * n_folds}.")


def _shuffled(
    is_ours: NDArray[np.bool_], fold: NDArray[np.intp], codes: Codes, n_permutations: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return true labels and their permutations of whole groups within folds: one column each."""
    _, first = np.unique(codes, return_index=True)
    labels = np.repeat(is_ours[first][:, None].astype(np.float32), 1 + n_permutations, axis=1)
    for k in np.unique(fold):
        rows = np.flatnonzero(fold[first] == k)
        labels[rows, 1:] = rng.permuted(labels[rows, 1:], axis=0)
    return labels[codes]


def _trained_scores(train: Floats, test: Floats, labels: NDArray[np.float32]) -> Floats:
    """Scores of `test` by ridge regressions of each column of `labels` on `train`, less the labels' mean.

    The penalty is the mean squared length of the centred rows: IntentEmbedder's, at a shrinkage of one half.
    """
    mean = train.mean(axis=0)
    train, test = train - mean, test - mean
    gram = train.T @ train
    gram[np.diag_indices_from(gram)] += max(np.trace(gram) / len(train), 1e-12)
    return (test @ solve(gram, train.T, assume_a="pos")) @ labels


def _auc(rank: Floats, labels: NDArray[np.float32]) -> Floats:
    """Area under the ROC curve of each column, from ranks (ties count half)."""
    n_ours = labels.sum(axis=0)
    return ((rank * labels).sum(axis=0) - n_ours * (n_ours + 1) / 2) / (n_ours * (len(labels) - n_ours))


def _placements(score: Floats, rank: Floats, is_ours: NDArray[np.bool_]) -> Floats:
    """Share of the other set's prompts on the right side of each prompt."""
    place = np.empty(len(score))
    for own, sign in ((is_ours, 1), (~is_ours, -1)):
        within = rankdata(sign * score[own])
        overall = rank[own] if sign == 1 else len(rank) + 1 - rank[own]
        place[own] = (overall - within) / (~own).sum()
    return place


def _interval(
    places: tuple[Floats, Floats], units: tuple[Codes, Codes], auc: Floats, confidence: float
) -> tuple[float, float, float]:
    """Interval of the AUC from placements, on the log-odds scale, and the one-sided p-value of "it is 0.5".

    Two independent means over groups, as in Welch's test; `auc` holds the AUC and those of permuted labels, whose
    spread counts in that folds share their training prompts.
    """
    middle, variance, weight = 0.0, [], []
    for place, codes in zip(places, units, strict=True):
        total, size = group_sums(place, codes)
        total, size = np.append(total, 0.5 * size.mean()), np.append(size, size.mean())
        mean = total.sum() / size.sum()
        residual = (total - mean * size) / size.sum()
        share = size / size.sum()
        middle += mean / 2
        variance.append(float((residual**2 / (1 - share)).sum()))
        weight.append(max(len(size) - 2.0, 1.0))
    spread = max(sum(variance), 1e-12)
    df = spread**2 / sum(v**2 / k for v, k in zip(variance, weight, strict=True)) if sum(variance) else min(weight)
    error = max(np.sqrt(spread) / (middle * (1 - middle)), float(auc[1:].std()) / 0.25)
    half = student.ppf((1 + confidence) / 2, df) * error
    low, high = expit(logit(middle) + half * np.array([-1, 1]))
    return float(min(low, auc[0])), float(max(high, auc[0])), float(student.sf(logit(middle) / error, df))


def analogies(X: pd.DataFrame, grid: pd.DataFrame) -> pd.DataFrame:
    """Count analogies that arithmetic on embeddings solves: a is to b as c is to d, so ``b - a + c`` should be near d.

    Parameters
    ----------
    X : DataFrame of shape (n_texts, n_features)
        Embeddings, indexed by the texts or by names of them. All rows are possible answers.
    grid : DataFrame of shape (n_rows, n_columns)
        Index labels of X, such that any two rows and any two columns make an analogy: a and b in one row, c and d
        below them in another.

    Returns
    -------
    DataFrame of shape (n_analogies, 8)
        ``a``, ``b``, ``c``, ``d``; ``answer`` and whether it is ``right``: as in the literature, the three given texts
        are not possible answers. ``right_nearest``: the same without arithmetic, the nearest neighbour of ``c``.
        ``right_open``: with arithmetic, and with the given texts among the possible answers.

    Raises
    ------
    TableError
        Texts that X does not have, or has twice; fewer than two rows or columns.

    Notes
    -----
    Compare ``right`` with the other two. Much of what looks like arithmetic is the nearest neighbour once the given
    texts are out of the way [2]_.

    References
    ----------
    .. [1] T. Mikolov, W. Yih and G. Zweig, "Linguistic Regularities in Continuous Space Word Representations",
       NAACL 2013.
    .. [2] T. Linzen, "Issues in evaluating semantic spaces using word analogies", RepEval 2016.

    Examples
    --------
    >>> X = pd.DataFrame([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1]], index=["man", "king", "woman", "queen"])
    >>> analogies(X, pd.DataFrame([["man", "king"], ["woman", "queen"]]))["answer"].tolist()
    ['queen', 'woman', 'king', 'man']
    """
    if not X.index.is_unique:
        reject("'X'", f"has {shown(X.index[X.index.duplicated()])} twice.", "Keep one row for each text.")
    if min(grid.shape) < 2:
        reject("'grid'", f"has shape {grid.shape}.", "Pass at least two rows and two columns.")
    cells = grid.to_numpy(dtype=object)
    steps = product(permutations(range(grid.shape[0]), 2), permutations(range(grid.shape[1]), 2))
    asked = [(cells[i, s], cells[i, t], cells[j, s], cells[j, t]) for (i, j), (s, t) in steps]
    table = pd.DataFrame(asked, columns=list("abcd"))
    places = X.index.get_indexer(table.to_numpy(dtype=object).ravel()).reshape(table.shape)
    if (places < 0).any():
        absent = pd.unique(table.to_numpy(dtype=object)[places < 0])
        reject("'grid'", f"{shown(absent)} is not in the index of X.", "Embed those texts too.")
    a, b, c, d = places.T
    rows = unit_rows(check_embeddings(X))
    similarity = unit_rows(rows[b] - rows[a] + rows[c]) @ rows.T
    nearest = rows[c] @ rows.T
    table["right_open"] = similarity.argmax(axis=1) == d
    each = np.arange(len(table))
    for given in (a, b, c):
        similarity[each, given] = nearest[each, given] = -np.inf
    answer = similarity.argmax(axis=1)
    table["answer"], table["right"] = X.index[answer], answer == d
    table["right_nearest"] = nearest.argmax(axis=1) == d
    return table[[*"abcd", "answer", "right", "right_nearest", "right_open"]]
