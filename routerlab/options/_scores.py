"""Checks: a score in [0, 1] for what the cheap calls answered, and which of the answers is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from routerlab.markup import NotebookReprMixin
from routerlab.options._answers import extract_answers, refuse, wide, with_samples
from routerlab.schema import (
    by_prompt,
    check_embeddings,
    check_responses,
    id_remedy,
    reject,
    row_labels,
    shown,
    unit_rows,
)

Floats = NDArray[np.float64]


class Checked(NamedTuple):
    """What a check says of each prompt: a score in [0, 1], and the model whose answer is kept if that is enough."""

    score: pd.Series
    kept: pd.Series


def agreement(answers: pd.DataFrame) -> Checked:
    """Tell how far the answers agree: the share of the other models that give the kept answer.

    Parameters
    ----------
    answers : DataFrame of shape (n_prompts, n_models)
        From `extract_answers`; None agrees with nothing.

    Returns
    -------
    Checked
        Kept is the answer that most models give, among equals the first column's.

    Examples
    --------
    >>> answers = pd.DataFrame({"a": ["B", "B"], "b": ["C", "B"], "c": ["C", None]}, index=["p1", "p2"])
    >>> agreement(answers).score.tolist(), agreement(answers).kept.tolist()
    ([0.5, 0.5], ['b', 'a'])
    """
    if answers.shape[1] < 2:
        reject("agreement", f"{shown(answers.columns)} is one answer.", "Ask two models, or sample one twice.")
    codes = _codes(answers)
    same = (codes[:, :, None] == codes[:, None, :]) & (codes >= 0)[:, :, None]
    others = same.sum(axis=2) - (codes >= 0)
    return _most(others / (answers.shape[1] - 1), answers)


def similarity(responses: pd.DataFrame, embedder: Any) -> Checked:
    """Tell how far free texts agree: the mean cosine similarity of the kept response to the others.

    Parameters
    ----------
    responses : DataFrame of shape (n_prompts, n_models)
        Texts.
    embedder : object
        With ``transform``, e.g. `routerlab.SentenceEmbedder`.

    Returns
    -------
    Checked
        Kept is the response that is most similar to the others. Similarities below 0 count as 0.

    Examples
    --------
    >>> from routerlab.embedding import LsaEmbedder
    >>> texts = pd.DataFrame({"a": ["Simmer it."], "b": ["Simmer it."]}, index=["p1"])
    >>> similarity(texts, LsaEmbedder().fit(["Simmer it.", "Boil it.", "Fry the egg."])).score.round(3).tolist()
    [1.0]
    """
    if responses.shape[1] < 2:
        reject("similarity", f"{shown(responses.columns)} is one response.", "Ask two models, or sample one twice.")
    texts = responses.map(lambda text: text if isinstance(text, str) and text.strip() else "-")
    vectors = np.stack([unit_rows(np.asarray(embedder.transform(texts[name]))) for name in texts], axis=1)
    cosine = np.einsum("nif,njf->nij", vectors, vectors).astype(float)
    others = (cosine.sum(axis=2) - np.einsum("nii->ni", cosine)) / (responses.shape[1] - 1)
    return _most(np.clip(others, 0.0, 1.0), responses)


def _most(score: Floats, frame: pd.DataFrame) -> Checked:
    best = score.argmax(axis=1)
    kept = pd.Series(frame.columns.to_numpy()[best], index=frame.index, name="kept")
    return Checked(pd.Series(score[np.arange(len(score)), best], index=frame.index, name="score"), kept)


def _codes(answers: pd.DataFrame) -> NDArray[np.intp]:
    """Give equal answers one number, and -1 to none."""
    return pd.factorize(answers.to_numpy(dtype=object).ravel())[0].reshape(answers.shape)


def answer_features(responses: pd.DataFrame, first: Sequence[str], *, extract: Any = "auto") -> pd.DataFrame:
    """Describe what models answered, for a learned check.

    Parameters
    ----------
    responses : DataFrame
        Responses table.
    first : sequence of str
        Models whose responses are seen.
    extract : str or callable, default 'auto'
        See `extract_answers`.

    Returns
    -------
    DataFrame of shape (n_prompts, n_features)
        How far the answers agree; of each model, the share of others that agree with it, whether it gave no answer, and
        the log of its response's length.

    Examples
    --------
    >>> rows = [("p1", "a", "B"), ("p1", "b", "(B)")]
    >>> table = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    >>> answer_features(table, ["a", "b"]).loc["p1", ["agreement", "no answer: a"]].tolist()
    [1.0, 0.0]
    """
    responses = with_samples(responses)
    part = responses[responses["model"].isin(first)]
    return features_of(extract_answers(part, extract), wide(part, part["response"]), first)


def features_of(answers: pd.DataFrame, texts: pd.DataFrame, first: Sequence[str]) -> pd.DataFrame:
    """Do the work of `answer_features` on frames of prompts x models."""
    codes = _codes(answers[list(first)])
    same = (codes[:, :, None] == codes[:, None, :]) & (codes >= 0)[:, :, None]
    columns: dict[str, Any] = {}
    if len(first) > 1:
        share = (same.sum(axis=2) - (codes >= 0)) / (len(first) - 1)
        columns["agreement"] = share.max(axis=1)
        if len(first) > 2:
            columns |= {f"agree with {model}": share[:, k] for k, model in enumerate(first)}
    for k, model in enumerate(first):
        columns[f"no answer: {model}"] = codes[:, k] < 0
        columns[f"length: {model}"] = [np.log1p(len(t)) if isinstance(t, str) else 0.0 for t in texts[model]]
    return pd.DataFrame(columns, index=answers.index).astype(float)


class LearnedCheck(NotebookReprMixin, BaseEstimator):
    """Probability that an answer is good enough, learned from the prompt's embedding and the cheap answers.

    A penalised logistic regression, calibrated by scikit-learn on folds of the training prompts.

    Parameters
    ----------
    estimator : classifier, optional
        By default ``LogisticRegression`` on standardised answer features and the embedding at length 1, so that the
        penalty weighs on the embedding first.
    calibration : {'sigmoid', 'isotonic'}, default 'sigmoid'
        Platt's, or isotonic regression, which wants some thousand prompts.
    cv : int, default 5
        Folds of the calibration, and of `cross_score`.

    Attributes
    ----------
    model_ : classifier
        The fitted one.

    See Also
    --------
    routerlab.cascade_outcomes : ``check=LearnedCheck(), X=embeddings`` scores every prompt out of fold.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> agree = rng.integers(2, size=200).astype(float)
    >>> good = rng.random(200) < 0.3 + 0.6 * agree
    >>> check = LearnedCheck().fit(pd.DataFrame({"agree": agree}), good)
    >>> low, high = check.score_prompts(pd.DataFrame({"agree": [0.0, 1.0]}))
    >>> bool(low < 0.5 < high)
    True
    """

    def __init__(self, estimator: Any = None, *, calibration: str = "sigmoid", cv: int = 5) -> None:
        self.estimator = estimator
        self.calibration = calibration
        self.cv = cv

    def fit(self, features: Any, good: Any, X: Any = None) -> LearnedCheck:
        """Learn from prompts whose answers were marked.

        Parameters
        ----------
        features : DataFrame of shape (n_prompts, n_features)
            From `answer_features`.
        good : array of bool of shape (n_prompts,)
            Whether the answer that would be kept is good enough.
        X : DataFrame of shape (n_prompts, n_dimensions), optional
            Embeddings of the prompts.

        Returns
        -------
        LearnedCheck
            Itself.
        """
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.linear_model import LogisticRegression

        values, good = np.asarray(features, dtype=float), np.asarray(good, dtype=bool)
        self.mean_, scale = values.mean(axis=0), values.std(axis=0)
        self.scale_ = np.where(scale > 1e-9, scale, 1.0)
        fewest = int(min(good.sum(), (~good).sum()))
        self.share_ = float(good.mean())
        self.model_ = None
        if fewest >= self.cv:  # else there is nothing to tell apart, and the share is all that is known
            base = LogisticRegression(C=0.3, max_iter=1000) if self.estimator is None else clone(self.estimator)
            self.model_ = CalibratedClassifierCV(base, method=self.calibration, cv=self.cv, ensemble=False)
            self.model_.fit(self._joined(values, X), good)
        return self

    def score_prompts(self, features: Any, X: Any = None) -> Floats:
        """Estimate the probability that the answer is good enough, of shape (n_prompts,)."""
        check_is_fitted(self, "share_")
        values = np.asarray(features, dtype=float)
        if self.model_ is None:
            return np.full(len(values), self.share_)
        return np.asarray(self.model_.predict_proba(self._joined(values, X))[:, 1], dtype=float)

    def cross_score(self, features: pd.DataFrame, good: Any, X: Any = None, *, folds: Any) -> pd.Series:
        """Score every prompt by a copy that has not seen it; `folds` are (train, test) positions."""
        good, values = np.asarray(good, dtype=bool), None if X is None else np.asarray(X)
        score = np.full(len(features), np.nan)
        for train, test in folds:
            inside, outside = (None, None) if values is None else (values[train], values[test])
            copy = clone(self).fit(features.iloc[train], good[train], inside)
            score[test] = copy.score_prompts(features.iloc[test], outside)
        return pd.Series(score, index=features.index, name="score")

    def _joined(self, values: Floats, X: Any) -> Floats:
        standard = (values - self.mean_) / self.scale_
        return standard if X is None else np.hstack([standard, unit_rows(check_embeddings(X))])


def given_scores(check: Any, responses: Any, first: Sequence[str], index: pd.Index) -> Checked:
    """Read scores that the user has: a column of the responses, a Series by prompt, or a frame of prompts x models."""
    if isinstance(check, str):
        if responses is None or check not in responses:
            known = () if responses is None else responses.columns
            refuse(
                "'check'",
                f"got {check!r}: neither 'agreement' nor a column of the responses; they have {shown(known, 8)}.",
                "Add that column of scores in [0, 1], or pass a Series prompt_id -> score.",
            )
        table = with_samples(check_responses(with_samples(responses)))
        check = wide(table, table[check])
    check = by_prompt(check)
    frame = check.to_frame(first[0]) if isinstance(check, pd.Series) else check
    if not isinstance(frame, pd.DataFrame):
        kind = type(check).__name__
        refuse("'check'", f"got {kind}.", "Pass 'agreement', a column's name, scores, a LearnedCheck or a function.")
    absent = index.difference(row_labels(frame))
    lacking = [] if isinstance(check, pd.Series) else [m for m in first if m not in frame]
    if len(absent) or lacking:
        what = f"prompt_id {shown(absent)}" if len(absent) else f"model {shown(lacking)}"
        remedy = "Score every prompt's first answers, or leave those prompts out of the outcomes."
        names = ("'check'", "the outcomes table")
        refuse("'check'", f"has no score of {what}.", id_remedy(row_labels(frame), absent, names, remedy))
    frame = frame.loc[index] if isinstance(check, pd.Series) else frame.loc[index, list(first)]
    values = pd.DataFrame(frame).apply(pd.to_numeric, errors="coerce").astype(float)
    bad = ~((values >= 0) & (values <= 1)).to_numpy()
    if bad.any():
        rows = bad.any(axis=1)
        said = shown(pd.DataFrame(frame).to_numpy()[bad], 3)
        refuse(
            "'check'",
            f"is {said} at prompt_id {shown(index[rows])}, expected a score in [0, 1].",
            "Rescale it, e.g. routerlab.to_quality(score, (1, 5)), and leave out prompts without one.",
        )
    return _most(values.to_numpy(), values)
