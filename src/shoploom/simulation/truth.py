"""The truth: probability of click, cart, purchase and refund of an impression, before and after planted drifts.

Each is CEILING x sigmoid(intercept + what customer and product bring) x (price / regular price) ** (elasticity / 3),
so that purchases per examined impression are proportional to (price / regular price) ** elasticity, exactly.
"""

# Shapes: C customers, I items, S shelves, G regimes, n impressions

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.simulation.settings import CEILING, Drift, Settings
from shoploom.simulation.world import World

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Rows = NDArray[np.integer]

CLICK: Final = {"affinity": 1.0, "appeal": 0.5}
CART: Final = {"affinity": 0.5, "quality": 0.6, "resolve": 0.4}
PURCHASE: Final = {"affinity": 0.3, "quality": 0.5, "resolve": 0.6}
REFUND: Final = {"quality": -0.8}
"""Weights of what moves each logit."""


@dataclass(frozen=True)
class Lookings:
    """Impressions as the truth sees them, (n,) each.

    ``of`` is the row of the page; ``affinity`` that of the customer to the product in the regime; ``ratio`` is price /
    regular price.
    """

    of: NDArray[np.int64]
    customer: NDArray[np.int32]
    item: NDArray[np.int32]
    shelf: NDArray[np.int32]
    regime: NDArray[np.int32]
    affinity: F32
    price: F64
    ratio: F64


@dataclass(frozen=True)
class Chances:
    """True probabilities, (n,) each, every one given that the one before happened."""

    relevant: F64
    cart: F64
    purchase: F64
    refund: F64


@dataclass(frozen=True)
class Truth:
    """Parameters of the truth; see ``World`` for what they are multiplied with.

    Args:
        world: Customers and products.
        settings: Rates, elasticity and drifts.
        begins: (G,) days after the start at which the regimes begin; the first is 0.
        taste: Whose factors customer c has in regime g.
        appeal: Whose appeal product i has in regime g.
        factors: (G,) per kind of drift with a factor: clicks, price, purchases.
        intercepts: Of click, cart, purchase and refund.
    """

    world: World
    settings: Settings
    begins: F64
    taste: NDArray[np.int32]
    appeal: NDArray[np.int32]
    factors: dict[str, F64]
    intercepts: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @classmethod
    def before_calibration(cls, world: World, settings: Settings) -> Self:
        """With the regimes of the settings, and intercepts of 0."""
        drifts = sorted(settings.drift, key=lambda one: one.day)
        taste: list[Rows] = [np.arange(len(world.customers))]
        appeal: list[Rows] = [np.arange(len(world.items))]
        factors: dict[str, list[float]] = {"clicks": [1.0], "price": [1.0], "purchases": [1.0]}
        for number, one in enumerate(drifts):
            draws = np.random.default_rng([world.seed, 4, number])
            taste.append(_swapped(taste[-1], one, "taste", draws))
            appeal.append(_swapped(appeal[-1], one, "appeal", draws))
            for kind, values in factors.items():
                values.append(values[-1] * (one.strength if one.kind == kind else 1.0))
        return cls(
            world,
            settings,
            np.array([0.0, *(one.day for one in drifts)]),
            np.array(taste, dtype=np.int32),
            np.array(appeal, dtype=np.int32),
            {kind: np.array(values) for kind, values in factors.items()},
        )

    def calibrated(self, seen: Lookings, examination: F64 | None = None) -> Self:
        """With intercepts that give the mean rates of the settings over impressions before any drift.

        Carts are averaged over clicks, purchases over carts.

        Args:
            seen: Impressions of regime 0.
            examination: (n,) probability that each is examined; taken as equal where None.
        """
        terms, bend = self._terms(seen), self._bend(seen)
        wanted = (self.settings.click_rate, self.settings.cart_rate, self.settings.purchase_rate)
        weight = np.ones(len(seen.item)) if examination is None else examination
        found: list[float] = []
        for term, rate in zip(terms[:3], wanted, strict=True):
            found.append(_intercept(term, bend, weight, rate, CEILING))
            weight = weight * CEILING * _sigmoid(term + found[-1]) * bend
        refund = self.settings.refund_rate
        found.append(_intercept(terms[3], np.ones_like(bend), weight, refund, 1.0) if refund else -np.inf)
        return replace(self, intercepts=(found[0], found[1], found[2], found[3]))

    def regime(self, days: F64) -> NDArray[np.int32]:
        """(n,) number of the regime at days after the start."""
        return (np.searchsorted(self.begins, days, side="right") - 1).astype(np.int32)

    def elasticities(self) -> F64:
        """(S,) price elasticity of each shelf before drift."""
        found = self.settings.elasticity + self.settings.elasticity_spread * self.world.elasticity
        return np.minimum(found, 0.0)

    def affinity(self, customer: Rows, item: Rows, regime: Rows) -> F32:
        """(n,) affinity with the tastes of the regime."""
        return self.world.affinity(self.taste[regime, customer], item)

    def chances(self, seen: Lookings) -> Chances:
        """The probabilities."""
        bend = self._bend(seen)
        click, cart, purchase, refund = (
            _sigmoid(term + one) for term, one in zip(self._terms(seen), self.intercepts, strict=True)
        )
        clicks, purchases = self.factors["clicks"][seen.regime], self.factors["purchases"][seen.regime]
        # The settings keep all below 1 but for the rounding of prices.
        return Chances(
            np.minimum(CEILING * click * bend * clicks, 1.0),
            np.minimum(CEILING * cart * bend, 1.0),
            np.minimum(CEILING * purchase * bend * purchases, 1.0),
            refund,
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON: everything that is no array."""
        names = ("click", "cart", "purchase", "refund")
        return {
            "formula": "p = ceiling * sigmoid(intercept + sum(weight * term)) * (price / regular_price) ** "
            "(elasticity / 3) * factor; refunds have ceiling 1 and no price; terms: affinity = <customer_factors, "
            "item_factors>, appeal, quality = cart_quality, purchase_quality, resolve",
            "ceiling": CEILING,
            "intercepts": dict(zip(names, self.intercepts, strict=True)) if self.settings.refund_rate
            else dict(zip(names[:3], self.intercepts[:3], strict=True)),
            "weights": dict(zip(names, (CLICK, CART, PURCHASE, REFUND), strict=True)),
            "regimes": [
                {"from_day": float(day), **{kind: float(values[g]) for kind, values in self.factors.items()}}
                for g, day in enumerate(self.begins)
            ],
        }  # fmt: skip

    def _terms(self, seen: Lookings) -> tuple[F64, F64, F64, F64]:
        world, affinity = self.world, seen.affinity.astype(np.float64)
        appeal = world.appeal[self.appeal[seen.regime, seen.item] if len(self.begins) > 1 else seen.item]
        resolve = world.resolve[seen.customer]
        purchase_quality = world.purchase_quality[seen.item]
        return (
            CLICK["affinity"] * affinity + CLICK["appeal"] * appeal,
            CART["affinity"] * affinity + CART["quality"] * world.cart_quality[seen.item] + CART["resolve"] * resolve,
            PURCHASE["affinity"] * affinity + PURCHASE["quality"] * purchase_quality + PURCHASE["resolve"] * resolve,
            REFUND["quality"] * purchase_quality.astype(np.float64),
        )

    def _bend(self, seen: Lookings) -> F64:
        """What the price multiplies each of the three probabilities with."""
        power = self.elasticities()[seen.shelf] * self.factors["price"][seen.regime] / 3
        return np.asarray(np.exp(power * np.log(seen.ratio)))


def _swapped(before: Rows, drift: Drift, kind: str, draws: np.random.Generator) -> Rows:
    """A share of the rows changes places in a circle, so that each of them gets another one's."""
    after = before.copy()
    if drift.kind == kind:
        chosen = draws.permutation(len(before))[: round(drift.strength * len(before))]
        after[chosen] = before[np.roll(chosen, 1)]
    return after


def _intercept(term: F64, bend: F64, weight: F64, rate: float, ceiling: float) -> float:
    """By bisection: where the weighted mean of ceiling x sigmoid(intercept + term) x bend is the rate."""
    low, high = -30.0, 30.0
    share = weight / weight.sum()
    for _ in range(40):
        middle = (low + high) / 2
        if float(share @ (_sigmoid(term + middle) * bend)) * ceiling < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _sigmoid(logits: F64) -> F64:
    return np.asarray(1 / (1 + np.exp(-logits)))
