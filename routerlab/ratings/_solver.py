"""Batched damped Newton for Bradley-Terry models: many small problems at once."""

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routerlab.schema import reject, shown
from routerlab.stats import Floats

_BLOCK = 60_000  # matrix cells solved at once: the working set stays in the processor's cache
_FULL_STEP = 0.5  # steps that move no difference by more than this are taken whole


@overload
def solve_bradley_terry(
    wins: ArrayLike, *, alpha: ArrayLike = ..., prior: ArrayLike | None = ..., start: ArrayLike | None = ...,
    tol: float = ..., max_iter: int = ..., return_n_iter: Literal[False] = ...,
) -> Floats: ...  # fmt: skip
@overload
def solve_bradley_terry(
    wins: ArrayLike, *, alpha: ArrayLike = ..., prior: ArrayLike | None = ..., start: ArrayLike | None = ...,
    tol: float = ..., max_iter: int = ..., return_n_iter: Literal[True],
) -> tuple[Floats, NDArray[np.intp]]: ...  # fmt: skip
def solve_bradley_terry(
    wins: ArrayLike,
    *,
    alpha: ArrayLike = 0.0,
    prior: ArrayLike | None = None,
    start: ArrayLike | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
    return_n_iter: bool = False,
) -> Floats | tuple[Floats, NDArray[np.intp]]:
    r"""Fit many Bradley-Terry models at once from (weighted) win counts.

    Minimises, for each problem, ``-sum_ij wins[i, j] * log(sigmoid(r[i] - r[j])) + alpha / 2 * sum_i
    (r[i] - prior[i])**2`` by Newton's method. A long step is damped to ``log(1 + d) / d``, with d the
    largest change of any difference: that is sure to descend without a line search, because the
    logistic loss is generalized self-concordant [1]_.

    Parameters
    ----------
    wins : array-like of shape (n_batch, n_models, n_models) or (n_models, n_models)
        ``wins[..., i, j]`` is how often, or with what total weight, i beat j. Any non-negative
        numbers; a tie is half a win each way. The diagonal plays no part.
    alpha : float or array-like of shape (n_batch,), default 0
        Strength of the L2 penalty, on ratings in natural-log units: the precision of a normal prior. scikit-learn's
        ``LogisticRegression(C=C)`` on a design of +x and -x is ``alpha = 1 / (C * x**2)``, with ``r = x * coef_``. 0 is
        plain maximum likelihood, which exists only if every split of the models in two has wins in both directions.
    prior : array-like of shape (n_models,) or (n_batch, n_models), optional
        Ratings toward which the penalty pulls, 0 by default.
    start : array-like of shape (n_models,) or (n_batch, n_models), optional
        First guess, `prior` by default. A near one saves iterations.
    tol : float, default 1e-6
        A problem is done when a full Newton step moves no rating difference by more. Convergence
        is quadratic: what is left is about ``tol**2``.
    max_iter : int, default 100
        Newton steps allowed.
    return_n_iter : bool, default False
        Whether to return the number of steps as well.

    Returns
    -------
    ratings : ndarray of shape (n_batch, n_models) or (n_models,)
        In natural-log units: i beats j with probability ``1 / (1 + exp(r[j] - r[i]))``. They sum to
        the sum of `prior`, hence to 0 by default.
    n_iter : ndarray of shape (n_batch,)
        Newton steps that each problem took. Only if `return_n_iter`.

    Raises
    ------
    TableError
        Wrong shapes; NaN, infinite or negative entries; with ``alpha=0``, wins that leave ratings infinite.
    RuntimeError
        No convergence in `max_iter` steps.

    References
    ----------
    .. [1] T. Sun and Q. Tran-Dinh, "Generalized self-concordant functions: a recipe for Newton-type
       methods", Mathematical Programming 178, 2019.

    Examples
    --------
    Three wins of the first model to one of the second are odds of 3:

    >>> ratings = solve_bradley_terry([[0, 3], [1, 0]])
    >>> float(np.exp(ratings[0] - ratings[1]).round(6))
    3.0
    """
    counts = np.asarray(wins, dtype=float)
    single = counts.ndim == 2
    counts = counts[None] if single else counts
    _check_wins(counts)
    n_batch, m = counts.shape[:2]
    penalty = np.broadcast_to(_checked(alpha, "alpha", low=0.0), (n_batch,))
    centre = np.broadcast_to(_checked(0.0 if prior is None else prior, "prior"), (n_batch, m))
    first = centre if start is None else np.broadcast_to(_checked(start, "start"), (n_batch, m))
    first = first + (centre - first).mean(axis=1, keepdims=True)
    _check_finite_solution(counts, penalty)
    ratings, n_iter = np.empty((n_batch, m)), np.empty(n_batch, dtype=np.intp)
    block = max(1, _BLOCK // m**2)
    for k in range(0, n_batch, block):
        part = slice(k, k + block)
        ratings[part], n_iter[part] = _newton(counts[part], penalty[part], centre[part], first[part], tol, max_iter)
    answer = ratings[0] if single else ratings
    return (answer, n_iter) if return_n_iter else answer


def _newton(
    wins: Floats, alpha: Floats, prior: Floats, start: Floats, tol: float, max_iter: int
) -> tuple[Floats, NDArray[np.intp]]:
    """Newton steps on one block; problems leave it as they converge."""
    m = wins.shape[1]
    done, n_iter = start.copy(), np.zeros(len(wins), dtype=np.intp)
    active, ratings = np.arange(len(wins)), start.copy()
    quarter = 0.25 * (wins + wins.transpose(0, 2, 1))
    # With p = (1 + tanh(d / 2)) / 2, a model's score is sum_j (wins_ij - wins_ji - n_ij tanh(d_ij / 2)) / 2.
    margin = 0.5 * (wins - wins.transpose(0, 2, 1)).sum(axis=2)
    diagonal = np.arange(m)
    for step_number in range(1, max_iter + 1):
        half = 0.5 * ratings
        tanh = np.tanh(half[:, :, None] - half[:, None, :])
        weighted = quarter * tanh
        gradient = margin - 2.0 * weighted.sum(axis=2) - alpha[:, None] * (ratings - prior)
        hessian = weighted * tanh - quarter
        hessian[:, diagonal, diagonal] = 0.0
        info = alpha[:, None] - hessian.sum(axis=2)
        # The likelihood does not see a common shift. A constant added to the matrix removes the
        # singularity and changes nothing else: the gradient, and so the step, sums to zero.
        hessian += (info.min(axis=1) / m)[:, None, None]
        hessian[:, diagonal, diagonal] += info
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        step -= step.mean(axis=1, keepdims=True)
        size = np.ptp(step, axis=1)
        ratings = ratings + damping(size)[:, None] * step
        open_ = size > tol
        if not open_.all():
            finished = active[~open_]
            done[finished], n_iter[finished] = ratings[~open_], step_number
            if not open_.any():
                return done, n_iter
            active, ratings, quarter, margin = active[open_], ratings[open_], quarter[open_], margin[open_]
            alpha, prior = alpha[open_], prior[open_]
    msg = (
        f"solve_bradley_terry did not converge in {max_iter} steps for {len(active)} of {len(done)} problems. "
        "Raise max_iter, or pass a larger alpha: the data may say almost nothing about some model."
    )
    raise RuntimeError(msg)


def damping(size: Any) -> Floats:
    """Share of a Newton step to take that would change some difference by `size`."""
    return np.where(size > _FULL_STEP, np.log1p(size) / np.maximum(size, _FULL_STEP), 1.0)


def _checked(values: Any, name: str, low: float = -np.inf) -> Floats:
    array = np.asarray(values, dtype=float)
    if not (np.isfinite(array) & (array >= low)).all():
        wanted = "finite numbers" if low == -np.inf else f"finite numbers of at least {low:g}"
        reject(f"'{name}'", f"got {shown(np.ravel(array))}, expected {wanted}.", "Correct it.")
    return array


def _check_wins(wins: Floats) -> None:
    if wins.ndim != 3 or wins.shape[1] != wins.shape[2] or not wins.size:
        wrong = f"expected shape (n_batch, n_models, n_models), got {wins.shape}."
        reject("'wins'", wrong, "Count wins of row over column for each pair of models.")
    # One pass: NaN fails both comparisons.
    if not (wins.min() >= 0 and wins.max() < np.inf):
        bad = np.argwhere(~((wins >= 0) & (wins < np.inf)))
        reject("'wins'", f"is NaN, infinite or negative at {shown(map(tuple, bad.tolist()))}.", "Correct those counts.")


def _check_finite_solution(wins: Floats, alpha: Floats) -> None:
    """Ratings are finite if and only if a chain of wins leads from every model to every other (Ford, 1957)."""
    plain = np.nonzero(alpha == 0)[0]
    reach = ((wins[plain] > 0) | np.eye(wins.shape[1], dtype=bool)).astype(np.float32)
    for _ in range(int(np.ceil(np.log2(wins.shape[1])))):
        reach = np.minimum(reach @ reach, 1.0)
    infinite = plain[(reach == 0).any(axis=(1, 2))]
    if len(infinite):
        reject(
            "'wins'",
            f"some models never beat, or never lose to, the others (problem {shown(infinite)}): maximum likelihood "
            "ratings are infinite.",
            "Pass a small alpha such as 0.01, or collect votes that connect them.",
        )
