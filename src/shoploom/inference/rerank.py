"""Re-ranking: from scored candidates to the list that is shown, by the shop's rules, diversity, freshness and caps.

The order of the steps: filters; boosts, burials and freshness; diversity within the caps; pins; exploration. With all
of them neutral the list is exactly the ranked one.

Scores of different members have different units: probabilities, counts, logits, reciprocal ranks. So everything works
on u = (R + 1) / (R + r) of the rank r, from 1, with R = ``RANK_OFFSET``, the scale that blends are fused on too. It
falls with every score, is 1 for the first and never 0, and does not change its meaning with the member that serves: a
factor f multiplies u, so that a product of rank r comes to stand about where rank (R + r) / f - R was.
"""

# Shapes: N candidates, I items, D vector width

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from shoploom.config import RecommendConfig
from shoploom.data import schema
from shoploom.data.arrays import F32, F64, I32, Flags
from shoploom.ensemble.fusion import RANK_OFFSET
from shoploom.errors import UsageError
from shoploom.inference.catalogue import Filters
from shoploom.inference.explore import explored
from shoploom.inference.matching import fitted
from shoploom.inference.rules import Rule, Rules
from shoploom.inference.selection import Room, dpp, in_order, mmr
from shoploom.inference.similar import SimilarItems
from shoploom.inference.state import ShopState

Method = Literal["mmr", "dpp"]
MOST_CANDIDATES: Final = 1000
MOST_DIVERSE: Final = 100
"""Places that are made different from each other; those after them follow in order. 100 of 1000 take 10 ms."""


@dataclass(frozen=True)
class Wishes:
    """What one request asks for; None: as ``[recommend]`` of ``shoploom.toml`` says."""

    rules: Rules = field(default_factory=Rules)
    diversity: float | None = None
    method: Method | None = None
    freshness: float | None = None
    half_life_days: float | None = None
    explore: float | None = None


@dataclass(frozen=True)
class Arrangement:
    """How one list is to be arranged.

    Args:
        rules: Standing ones and those of the request.
        diversity: From 0, the ranking, to 1, nothing but differences.
        method: ``mmr`` or ``dpp``, see ``inference.selection``.
        freshness: A product of today moves up like by a boost of 1 + freshness.
        half_life_days: Age at which the freshness is half as much.
        explore: Probability of each place to show a product from further down.
        seed: What exploration is drawn from; the same text draws the same list.
    """

    rules: Rules = field(default_factory=Rules)
    diversity: float = 0.0
    method: str = "mmr"
    freshness: float = 0.0
    half_life_days: float = 30.0
    explore: float = 0.0
    seed: str = ""

    @classmethod
    def of(cls, config: RecommendConfig, wishes: Wishes | None = None, *, seed: str = "") -> Arrangement:
        """The shop's settings, as far as a request does not say otherwise.

        Raises:
            UsageError: If rules contradict each other or do not parse.
            ConfigError: If the fault is in ``shoploom.toml``.
        """
        wishes = wishes or Wishes()
        numbers = ("diversity", "method", "freshness", "half_life_days", "explore")
        given = {name: getattr(wishes, name) for name in numbers if getattr(wishes, name) is not None}
        try:
            found = replace(config, **given)
        except UsageError as error:
            raise UsageError(str(error).removeprefix("recommend.")) from error
        rules = Rules.of_config(config.rules).with_request(wishes.rules)
        return cls(rules, **{name: getattr(found, name) for name in numbers}, seed=seed)

    @property
    def plain(self) -> bool:
        """Whether the ranked list is shown as it is."""
        return not (self.rules or self.diversity or self.freshness or self.explore)

    def depth(self, k: int) -> int:
        """How many candidates to ask for so that there is something to choose from."""
        return k if self.plain else max(k, min(max(5 * k, 100), MOST_CANDIDATES))


@dataclass(frozen=True)
class Applied:
    """What was done to a list.

    Args:
        candidates: Candidates that the filters let through.
        filtered: Products of the catalogue that might be shown but for filters and exclusions.
        boosted, buried: Candidates that a rule moved up, moved down.
        pinned: Products on the list because of a pin.
        capped: Candidates that would be on the list but for a cap.
        explored: Places that show a product from further down.
        left_out: Standing rules that this list does not keep, each with the reason.
    """

    candidates: int = 0
    filtered: int = 0
    boosted: int = 0
    buried: int = 0
    pinned: int = 0
    capped: int = 0
    explored: int = 0
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Arranged:
    """The list to show: item rows, their scores as ranked, the probability of each to stand where it does."""

    items: list[int]
    scores: list[float]
    propensities: list[float]
    applied: Applied


@dataclass(frozen=True)
class Permitted:
    """Which products a list may hold.

    Args:
        base: (I,) Before the rules.
        mask: (I,) After filters and exclusions.
    """

    base: Flags
    mask: Flags


class Arranger:
    """Arranges lists of one shop. May be used from several threads.

    Args:
        state: The shop.
        similar: Item vectors, from which differences are measured; without any, products of one finest category are
            alike and all others different.

    Example:
        >>> wishes = Wishes(Rules.of_texts(cap=["brand:2"]), diversity=0.3)  # doctest: +SKIP
        >>> arranger.arranged(items, scores, Arrangement.of(config, wishes), k=10).items  # doctest: +SKIP
    """

    def __init__(self, state: ShopState, similar: SimilarItems) -> None:
        self._state = state
        self._similar = similar
        self._matcher = state.matcher

    def permitted(self, rules: Rules, base: Flags | None = None) -> Permitted:
        """What may be shown.

        Args:
            rules: Their filters and exclusions count beside the standing ones. ``exclude=bought`` is for whoever makes
                the candidates.
            base: (I,) What may be shown without rules; None: merchandise that is not hidden.

        Raises:
            UsageError: If an expression does not fit the catalogue.
        """
        allowed = self._state.before_rules(Filters()) if base is None else base
        return Permitted(allowed, self._state.ruled(allowed, rules))

    def created(self) -> F64:
        """(I,) day since which the shop has each product, NaN if unknown; one that came while serving came today."""
        return self._matcher.created()

    def why_nothing(self, rules: Rules, base: Flags) -> str:
        """A sentence on what leaves no product."""
        mask, count = base, int(base.sum())
        if not count:
            return "no product may be shown: category, stock and hidden products leave none of the catalogue"
        for one in rules.restricting:
            mask = mask & fitted(self._matcher.fulfilling(one), len(mask))
            if not mask.any():
                return f"no product may be shown: {one} leaves none of {count:,}"
            count = int(mask.sum())
        return "no product may be shown"

    def arranged(
        self,
        items: Sequence[int],
        scores: Sequence[float],
        arrangement: Arrangement,
        *,
        k: int,
        permitted: Permitted | None = None,
        bought: Collection[int] = (),
        day: float | None = None,
        standing_in: int = 0,
        foreign: Callable[[Rule, int], str] | None = None,
    ) -> Arranged:
        """The ``k`` products to show, or fewer where there are not enough.

        Any ranked list will do: similar products, buy again, popular ones. Give it more than ``k`` candidates
        (``arrangement.depth(k)``), or there is nothing to choose from.

        Args:
            items: Rows of the candidates, best first, each once.
            scores: Their scores, in whatever unit; only shown. Pinned products that are no candidates get the lowest.
            arrangement: What to do.
            k: Length of the list.
            permitted: From ``permitted``, to save asking again; candidates that it forbids are left out.
            bought: Rows that must not be pinned, because the customer has them.
            day: Moment of the list, for freshness; None: now.
            standing_in: How many of the last candidates stand in for better ones: they stay behind all others.
            foreign: Says why a pin of an item has no place on this list; empty if it has one.

        Raises:
            UsageError: If a rule of the request cannot be kept: an unknown column, a pin of a product that is unknown,
                hidden, filtered out or capped away.
        """
        allowed = self.permitted(arrangement.rules) if permitted is None else permitted
        rules, left_out = self._binding(arrangement.rules, allowed.mask)
        arrangement = replace(arrangement, rules=rules)
        pins, not_pinned = self._pins(rules, allowed, k, bought, foreign)
        found = self._candidates(items, allowed.mask, list(pins.values()), arrangement, day, standing_in)
        room = self._room(rules, found.rows, len(pins))
        chosen = self._chosen(found, room, k - len(pins), len(pins), arrangement)
        capped = _num_capped(found, chosen, room, k - len(pins))
        shown = found.rows[chosen].tolist()
        for position in sorted(pins):
            shown.insert(position, pins[position])
        fixed = [place for place, row in enumerate(shown) if row in pins.values()]
        pool = found.rows[in_order(range(found.count), room, found.count)].tolist() if arrangement.explore else []
        drawn = explored(shown, pool, share=arrangement.explore, seed=arrangement.seed, fixed=fixed)
        known, lowest = dict(zip(items, scores, strict=True)), min(scores, default=0.0)
        applied = Applied(
            candidates=found.count,
            filtered=int((allowed.base & ~allowed.mask).sum()) if allowed.mask is not allowed.base else 0,
            boosted=found.boosted,
            buried=found.buried,
            pinned=len(fixed),
            capped=capped,
            explored=len(drawn.drawn),
            left_out=[*left_out, *not_pinned],
        )
        return Arranged(drawn.items, [known.get(row, lowest) for row in drawn.items], drawn.propensities, applied)

    def _candidates(
        self,
        items: Sequence[int],
        mask: Flags,
        pinned: list[int],
        arrangement: Arrangement,
        day: float | None,
        standing_in: int,
    ) -> _Candidates:
        """What may be chosen, best first after boosts, burials and freshness; pinned products behind all."""
        rows = np.asarray(items, dtype=np.int64)
        own = len(rows) - standing_in
        kept = np.flatnonzero(mask[rows] & ~np.isin(rows, pinned))
        rows, utility = rows[kept], (RANK_OFFSET + 1) / (RANK_OFFSET + 1 + kept)
        moved = {"boost": np.zeros(len(rows), dtype=bool), "bury": np.zeros(len(rows), dtype=bool)}
        for one in [*arrangement.rules.of("boost"), *arrangement.rules.of("bury")]:
            meant = self._matcher.fulfilling(one)[rows]
            utility[meant] *= one.number if one.kind == "boost" else 1 / one.number
            moved[one.kind] |= meant
        if arrangement.freshness:
            moment = self._state.now() if day is None else day
            age = np.maximum(moment - self.created()[rows], 0.0)
            fresh = np.nan_to_num(np.exp2(-age / arrangement.half_life_days))
            utility *= 1 + arrangement.freshness * fresh
        order = np.lexsort((-utility, kept >= own))
        return _Candidates(
            np.append(rows[order], pinned).astype(np.int64),
            np.append(utility[order], np.zeros(len(pinned))),
            len(rows),
            int((kept < own).sum()),
            int(moved["boost"].sum()),
            int(moved["bury"].sum()),
        )

    def _chosen(self, found: _Candidates, room: Room, count: int, pinned: int, arrangement: Arrangement) -> list[int]:
        chosen: list[int] = []
        if arrangement.diversity and found.own:
            choose = dpp if arrangement.method == "dpp" else mmr
            mixed = np.r_[: found.own, found.count : found.count + pinned]  # what stands in is not mixed in
            rows, utility = found.rows[mixed], found.utility[mixed] / found.utility.max()
            free, given = self._room(arrangement.rules, rows, pinned), range(found.own, found.own + pinned)
            first = min(count, MOST_DIVERSE)
            order = choose(utility, self._vectors(rows), free, first, diversity=arrangement.diversity, given=given)
            chosen = in_order(order, room, first)
        return [*chosen, *in_order(range(found.count), room, count - len(chosen))]

    def _vectors(self, rows: NDArray[np.int64]) -> F32:
        """(N, D) of length 1: learned ones, else one direction per finest category."""
        vectors = self._similar.vectors(self._state.shop)
        if vectors is not None:
            return vectors[rows]
        groups = self._matcher.groups(schema.CATEGORY)[rows].astype(np.int64)
        alone = np.where(groups < 0, -1 - np.arange(len(rows)), groups)  # nothing is known to be alike
        _, place = np.unique(alone, return_inverse=True)
        return np.eye(int(place.max(initial=0)) + 1, dtype=np.float32)[place]

    def _room(self, rules: Rules, rows: NDArray[np.int64], pinned: int) -> Room:
        """Caps over some rows, of which the last ones are on the list already."""
        room = Room(len(rows), [(self._groups(one)[rows], int(one.number)) for one in rules.of("cap")])
        for place in range(len(rows) - pinned, len(rows)):
            room.take(place)
        return room

    def _binding(self, rules: Rules, mask: Flags) -> tuple[Rules, list[str]]:
        """Rules without standing caps on what all products have in common, and these caps, each with the reason.

        Else the page of one brand would show no more of it than any list.
        """
        aside = {}
        for one in (each for each in rules.of("cap") if each.standing):
            groups = self._groups(one)
            groups = groups[fitted(mask, len(groups))]
            if len(groups) > one.number and 0 <= groups.min() == groups.max():
                aside[one] = f"{one}: all that this list may show has the same {one.subject}"
        return rules.without(aside), list(aside.values())

    def _pins(
        self,
        rules: Rules,
        allowed: Permitted,
        k: int,
        bought: Collection[int],
        foreign: Callable[[Rule, int], str] | None,
    ) -> tuple[dict[int, int], list[str]]:
        """Rows by position from 0, and standing pins that cannot be kept today, each with the reason."""
        pins: dict[int, int] = {}
        left_out = [f"{one}: the request pins another product or position" for one in rules.set_aside]
        for one in sorted(rules.of("pin"), key=lambda one: (one.standing, one.number)):
            row, position = self._state.shop.items.row(one.subject), int(one.number) - 1
            if row < 0:
                one.fail("names an unknown product; PUT /v1/products/{id} adds it")
            if one.standing and position >= k:
                continue
            reason = f"the list has {k} positions" if position >= k else self._why_not(row, rules, allowed, bought)
            reason = reason or ("" if foreign is None else foreign(one, row))
            reason = reason or self._why_too_many(row, rules, pins)
            if not reason:
                pins[position] = row
            elif one.standing:
                left_out.append(f"{one}: {reason}")
            else:
                one.fail(f"cannot be kept: {reason}")
        return pins, left_out

    def _why_not(self, row: int, rules: Rules, allowed: Permitted, bought: Collection[int]) -> str:
        """Why a product may not be shown; empty if it may."""
        if row in bought:
            return "the customer has bought it, and what was bought is excluded"
        if row < len(allowed.mask) and allowed.mask[row]:
            return ""
        if self._state.hidden.hides("products", self._state.shop.items.ids[row]):
            return "the product is hidden; PUT /v1/products/{id} shows it again"
        if row < len(allowed.base) and allowed.base[row]:
            against = next((one for one in rules.restricting if not self._matcher.fulfilling(one)[row]), None)
            return f"{against} leaves the product out"
        merchandise = self._state.facts.merchandise
        if row < len(merchandise) and not merchandise[row]:
            return "it is only ever sold as a fee, fuel or voucher"
        return "category, in_stock or hide leave the product out"

    def _why_too_many(self, row: int, rules: Rules, pins: Mapping[int, int]) -> str:
        for one in rules.of("cap"):
            groups = self._groups(one)
            same = sum(bool(groups[other] == groups[row]) for other in pins.values())
            if groups[row] >= 0 and same >= one.number:
                return f"{one} has no room for it beside the other pins"
        return ""

    def _groups(self, rule: Rule) -> I32:
        try:
            return self._matcher.groups(rule.subject)
        except UsageError as error:
            rule.fail(f"does not fit the catalogue: {error}", cause=error)


@dataclass(frozen=True)
class _Candidates:
    """Rows and utilities of the candidates, best first, and behind them the pinned products.

    Args:
        rows: (N + pins,)
        utility: (N + pins,)
        count: N.
        own: How many of them, the first ones, do not stand in for others.
        boosted, buried: How many of them a rule moved.
    """

    rows: NDArray[np.int64]
    utility: F64
    count: int
    own: int
    boosted: int
    buried: int


def _num_capped(found: _Candidates, chosen: Sequence[int], room: Room, wanted: int) -> int:
    """How many candidates that are worth as much as the last chosen one stand behind because of a cap."""
    least = min(found.utility[chosen], default=0.0) if len(chosen) == wanted else 0.0
    worthy = np.flatnonzero(found.utility[: found.count] >= least).tolist()
    return sum(room.full(place) for place in set(worthy) - set(chosen))
