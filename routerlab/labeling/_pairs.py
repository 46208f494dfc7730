"""Pairs of responses as they are shown, and the records of what the rater says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

CHOICES = {"left": "model_a", "right": "model_b", "tie": "tie", "both_bad": "both_bad"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to one prompt, side by side, in the order in which they are shown.

    Attributes
    ----------
    pair_id : str
        Names this showing, sides included: the swapped repeat has an id of its own. Does not tell the models.
    prompt_id : str or int
        Key into the prompts table.
    prompt : str
        Text of the prompt; empty if the queue was given no prompts.
    left, right : str
        Texts of the responses.
    model_left, model_right : str
        Who wrote them. Never to be sent to the page before the vote; left out of the repr.
    side_seed : int
        The random number that set the sides: the model that comes first in the responses table is
        on the left if it is even. A swapped repeat has the original's seed with its lowest bit flipped.
    repeat_of : str or None
        ``pair_id`` of the showing that this one repeats with its sides swapped.
    propensity : float or None
        Probability that the queue shows this pair at this step, given all votes before it and the restriction that
        held; None if it was asked for.
    intent : object
        Group of the prompt, None if the queue was given none.
    chosen_by : str
        'information', 'random', 'by_intent' or 'repeat': what picked it.
    restricted_to : str or None
        What the queue was restricted to, see `PairQueue.restrict`.
    """

    pair_id: str
    prompt_id: Any
    prompt: str = field(repr=False)
    left: str = field(repr=False)
    right: str = field(repr=False)
    model_left: str = field(repr=False)
    model_right: str = field(repr=False)
    side_seed: int = field(repr=False)
    repeat_of: str | None = field(repr=False, default=None)
    propensity: float | None = field(repr=False, default=None)
    intent: Any = None
    chosen_by: str = field(repr=False, default="random")
    restricted_to: str | None = field(repr=False, default=None)

    def vote(self, choice: str, *, nonce: str, note: str | None = None, seconds: float | None = None) -> dict[str, Any]:
        """Return the record of a vote, for `VoteLog.append`.

        Parameters
        ----------
        choice : {'left', 'right', 'tie', 'both_bad'}
            The verdict.
        nonce : str
            A string that the page makes once for each press of a key; a second one with the same nonce is refused.
        note : str, optional
            The rater's remark.
        seconds : float, optional
            Time between the pair's showing and the vote, in seconds.

        Returns
        -------
        dict
            ``model_a`` is the model on the left, ``model_b`` the one on the right.

        Raises
        ------
        ValueError
            Another choice.

        Examples
        --------
        >>> pair = Pair("x1", "p1", "Hi?", "Hello", "Go away", "big", "small", side_seed=4)
        >>> pair.vote("left", nonce="n1")["winner"]
        'model_a'
        """
        if choice not in CHOICES:
            msg = f"The 'choice' parameter of Pair.vote must be one of {', '.join(CHOICES)}. Got {choice!r} instead."
            raise ValueError(msg)
        record = {**self._shown("vote", nonce), "winner": CHOICES[choice]}
        if note:
            record["note"] = note
        if seconds is not None:
            record["seconds"] = float(seconds)
        return record

    def skip(self, *, nonce: str, note: str | None = None) -> dict[str, Any]:
        """Return the record of a skip: the pair was seen and left undecided.

        Parameters
        ----------
        nonce : str
            See `vote`.
        note : str, optional
            The rater's remark.

        Returns
        -------
        dict
            A record for `VoteLog.append`.

        Examples
        --------
        >>> Pair("x1", "p1", "Hi?", "Hello", "Go away", "big", "small", side_seed=4).skip(nonce="n1")["type"]
        'skip'
        """
        record = self._shown("skip", nonce)
        return {**record, "note": note} if note else record

    def _shown(self, kind: str, nonce: str) -> dict[str, Any]:
        return {
            "type": kind,
            "nonce": nonce,
            "pair_id": self.pair_id,
            "prompt_id": self.prompt_id,
            "model_a": self.model_left,
            "model_b": self.model_right,
            "judged_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "side_seed": self.side_seed,
            "repeat_of": self.repeat_of,
            "propensity": self.propensity,
            "chosen_by": self.chosen_by,
            "restricted_to": self.restricted_to,
            "intent": self.intent,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is. While the queue is restricted, only pairs that it may show are counted.

    Attributes
    ----------
    n_votes, n_skipped, n_repeats : int
        Votes that count (repeats among them), skips, swapped repeats.
    n_pairs, n_left : int
        Pairs in the queue at the start, and pairs not yet decided.
    n_missing, n_identical : int
        Pairs never shown, for want of a response or because both are the same text.
    n_foreign : int
        Earlier votes on pairs that are not in this queue, which were passed over.
    by_intent : dict
        Votes of each group, whatever the restriction.
    restricted_to : str or None
        What the queue is restricted to.
    """

    n_votes: int
    n_skipped: int
    n_repeats: int
    n_pairs: int
    n_left: int
    n_missing: int
    n_identical: int
    n_foreign: int
    by_intent: dict[Any, int]
    restricted_to: str | None = None
