"""Which of a customer's own purchases make the member that serves rank a product: found by taking them away.

The member ranks again, in one batch, with histories that lack one product or one category each; a reason is claimed
only if the product falls without it. Works for every member, since nothing but ``predict`` is used. The words for
people are those of ``apps.explain``.
"""

# Shapes: I items, R other histories

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoploom.data.arrays import Flags, Lines
from shoploom.inference.served import Served
from shoploom.inference.suspects import EVERYTHING, Suspect, Suspects, unions
from shoploom.tasks.base import Cases, Ranked, Repeats

FALL = 5
"""Places by which a product has to fall without its reason."""
DEPTH, BEYOND = 60, 20
"""Places that are looked at: at least so many, and so many more than the list has."""
MOST_TRIED = 80
"""Other histories in the first batch."""
MOST_UNIONS = 96
"""Other histories in the second batch, for products that no single reason explains."""
SHOWN = 3
"""Products that each are a reason on their own."""

Code = Literal["history", "whole_history", "popular", "not_ranked"]


@dataclass(frozen=True)
class Asked:
    """The question that a list answered.

    Args:
        customer: Row of the customer, who must have a history.
        when: Day of the visit.
        k: Length of the list.
        repeats: As for the list.
        allowed: (I,) items that the list may hold.
    """

    customer: int
    when: float
    k: int
    repeats: Repeats
    allowed: Flags


@dataclass(frozen=True)
class Effect:
    """What happens to a product when something is taken out of the history.

    Args:
        suspect: What is taken out.
        before, after: Place on the member's list, from 1; ``after`` is None beyond the places that are looked at.
        fall: Places lost, negative if it rises; at least so many where ``after`` is None.
        score_change: Of the member's score; None where ``after`` is None.
        drop: Score lost beside what the other products of the list lose; infinite where ``after`` is None.
    """

    suspect: Suspect
    before: int
    after: int | None
    fall: int
    score_change: float | None
    drop: float


@dataclass(frozen=True)
class Why:
    """Why a product stands where it stands.

    Args:
        item: Row of the product.
        code: ``history``: the effects are reasons. ``whole_history``: it falls without the whole history, and no part
            that was tried suffices. ``popular``: it does not fall without any history, and no single product is a
            reason. ``not_ranked``: it is not among the places that are looked at.
        rank: Place on the member's list, from 1; None if not ranked.
        without_history: Place for a customer of whom nothing is known; None beyond the places that are looked at.
        effects: Checked reasons, best first; for ``popular`` the strongest that was tried, which explains nothing.
        popular: Whether it does not fall without any history, whatever the code.
        tried: How many other histories were tried.
    """

    item: int
    code: Code
    rank: int | None
    without_history: int | None
    effects: tuple[Effect, ...]
    popular: bool
    tried: int


def because(served: Served, asked: Asked, items: Sequence[int], *, least: int = FALL) -> list[Why]:
    """Why each of some products is recommended.

    Args:
        served: The version that answers.
        asked: What the list was asked for.
        items: Rows of the products.
        least: A reason is one if the product falls by so many places without it, 1 to ``BEYOND``.
    """
    replay = Replay(served, asked)
    suspects = Suspects(served, replay.history)
    tried = suspects.of_all(items, MOST_TRIED)
    usual, *without = replay.lists([EVERYTHING, *tried])
    alone, effects = without[0], _effects(items, usual, tried, without[1:])
    stranger = _effects(items, usual, [EVERYTHING], [alone])
    wanted = [item for item, (one,) in stranger.items() if one.fall >= least and not _checked(effects[item], least)]
    more = {item: unions(_weights(effects[item]))[: MOST_UNIONS // len(wanted)] for item in wanted}
    joined = list(dict.fromkeys(one for found in more.values() for one in found))
    if joined:
        usual, *without = replay.lists(joined)
        for item, found in _effects(wanted, usual, joined, without).items():
            effects[item] += found
    number = len(tried) + len(joined)
    return [
        _why(item, effects[item], stranger[item][0], least, number)
        if item in effects
        else Why(item, "not_ranked", None, alone.places.get(item), (), False, number)
        for item in items
    ]


@dataclass(frozen=True)
class Listing:
    """A ranked list: place, from 1, and score by item row."""

    places: dict[int, int]
    scores: dict[int, float]

    @classmethod
    def of(cls, items: Iterable[int], scores: Iterable[float], owned: frozenset[int]) -> Listing:
        """One row of a prediction; ``owned`` only stand there because they were taken out, and do not count."""
        shown = [(item, score) for item, score in zip(items, scores, strict=True) if item >= 0 and item not in owned]
        return cls({item: place for place, (item, _) in enumerate(shown, start=1)}, dict(shown))


class Replay:
    """The member's lists for one customer, had the history been another one.

    Args:
        served: Whose member ranks.
        asked: The question.
    """

    def __init__(self, served: Served, asked: Asked) -> None:
        self.asked = asked
        self.shop = served.state.shop
        self.history: Lines = self.shop.histories(np.array([asked.customer])).lines
        new_only = asked.repeats == "exclude"
        self.task = "new_for_you" if new_only and "new_for_you" in served.members else "next_basket"
        self._member = served.members[self.task]
        goods = self.history.purchase & self.history.goods
        self._owned = frozenset(self.history.item[goods].tolist()) if new_only else frozenset()

    def lists(self, suspects: Sequence[Suspect]) -> list[Listing]:
        """The list as it is, then one per suspect, without it."""
        customer, asked = self.asked.customer, self.asked
        shop, rows = self.shop.supposing(customer, [self._without(one) for one in suspects])
        units = np.concatenate([[customer], rows]).astype(np.int32)
        when, depth = np.full(len(units), asked.when), max(DEPTH, asked.k + BEYOND)
        cases = Cases(units, when=when, k=depth, repeats=asked.repeats, allowed=asked.allowed)
        ranked = self._member.predict(shop, cases)
        assert isinstance(ranked, Ranked), f"{self.task} is served by a member that does not rank"
        pairs = zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True)
        return [Listing.of(items, scores, self._owned) for items, scores in pairs]

    def _without(self, suspect: Suspect) -> Lines:
        if suspect is EVERYTHING:
            return self.history.take(slice(0))
        return self.history.take(~np.isin(self.history.item, suspect.items))


def _effects(
    items: Sequence[int], usual: Listing, suspects: Sequence[Suspect], without: Sequence[Listing]
) -> dict[int, list[Effect]]:
    """By item that is ranked, the effect of each suspect."""
    found: dict[int, list[Effect]] = {item: [] for item in items if item in usual.places}
    for suspect, other in zip(suspects, without, strict=True):
        changes = [other.scores[one] - score for one, score in usual.scores.items() if one in other.scores]
        shift = float(np.median(changes)) if changes else 0.0
        for item, effects in found.items():
            before, after = usual.places[item], other.places.get(item)
            if after is None:
                fall = len(other.places) + 1 - before
                effects.append(Effect(suspect, before, None, fall, None, float("inf")))
            else:
                change = other.scores[item] - usual.scores[item]
                effects.append(Effect(suspect, before, after, after - before, change, shift - change))
    return found


def _checked(effects: Sequence[Effect], least: int) -> list[Effect]:
    return [one for one in effects if one.fall >= least]


def _weights(effects: Sequence[Effect]) -> list[tuple[Suspect, float]]:
    return [(one.suspect, one.drop) for one in effects]


def _strength(effect: Effect) -> tuple[int, float]:
    """For sorting: what makes a product fall farthest comes first."""
    return -effect.fall, -effect.drop


def _why(item: int, effects: Sequence[Effect], stranger: Effect, least: int, tried: int) -> Why:
    popular = stranger.fall < least
    best = _claims(item, _checked(effects, least), popular=popular)
    rank, without = stranger.before, stranger.after
    if best:
        return Why(item, "history", rank, without, best, popular, tried)
    if not popular:
        return Why(item, "whole_history", rank, without, (stranger,), popular, tried)
    return Why(item, "popular", rank, without, tuple(sorted(effects, key=_strength)[:1]), popular, tried)


def _claims(item: int, checked: Sequence[Effect], *, popular: bool) -> tuple[Effect, ...]:
    """The simplest kind of reason that there is: single products, else a category, else the smallest union.

    Of something that a stranger would be shown, too, a group of purchases is no honest reason.
    """
    single = [one for one in checked if one.suspect.kind == "product"]
    if single:
        return tuple(sorted(single, key=lambda one: (item not in one.suspect.items, *_strength(one)))[:SHOWN])
    groups = [one for one in checked if one.suspect.kind == "category"] or checked
    if popular or not groups:
        return ()
    return (min(groups, key=lambda one: (len(one.suspect.items), *_strength(one))),)
