"""What is asked of a simulation: how long, how much, how customers behave on a page, and what changes when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from shoploom.errors import UsageError, unknown_name
from shoploom.simulation.click_models import CLICK_MODELS
from shoploom.simulation.policies import POLICIES

SHARES = {"taste": "of customers who get another customer's taste", "appeal": "of products that swap their appeal"}
FACTORS = {
    "clicks": "on the probability of a click if examined",
    "price": "on the price elasticity",
    "purchases": "on the probability of a purchase after the cart",
}
"""Kinds of drift and what their strength is."""

MOST_EVENTS = 1e9
MOST_PLACES = 64
CEILING = 0.6
"""No probability of click, cart or purchase is above this at the regular price; what is left is for low prices."""


@dataclass(frozen=True)
class Drift:
    """A change of the truth at a known moment, for all sessions that begin after it.

    Args:
        day: Days after the start of the simulation.
        kind: ``taste`` and ``appeal`` take a share in (0, 1]: so many customers get another customer's taste, so many
            products another's appeal. ``clicks``, ``price`` and ``purchases`` take a factor above 0 on the click
            probability, the elasticity, the purchase probability.
        strength: The share or factor.

    Raises:
        UsageError: If a value is out of its range.

    Example:
        >>> Drift.parse("taste@30=0.5")
        Drift(day=30.0, kind='taste', strength=0.5)
    """

    day: float
    kind: str
    strength: float

    def __post_init__(self) -> None:
        if self.kind not in SHARES | FACTORS:
            raise UsageError(unknown_name("drift", self.kind, SHARES | FACTORS))
        if not (math.isfinite(self.day) and self.day >= 0):
            raise UsageError(f"drift {self.kind} on day {self.day:g}; wanted 0 or more days after the start")
        most = 1.0 if self.kind in SHARES else 100.0
        if not 0 < self.strength <= most:
            what = (SHARES | FACTORS)[self.kind]
            raise UsageError(f"drift {self.kind} of {self.strength:g}; wanted above 0 up to {most:g}, {what}")

    @classmethod
    def parse(cls, text: str) -> Drift:
        """From ``KIND@DAY=STRENGTH``."""
        kind, at, rest = text.partition("@")
        day, equals, strength = rest.partition("=")
        try:
            if at and equals:
                return cls(float(day), kind.strip(), float(strength))
        except ValueError:
            pass
        raise UsageError(f"drift {text!r} is not understood; write KIND@DAY=STRENGTH, for example taste@30=0.5")


@dataclass(frozen=True)
class Settings:
    """Everything about a stream that is not the world's; the defaults are an ordinary storefront.

    Args:
        events: About so many events in all, 100 to 1e9; the stream's own count differs by chance.
        seed: Of the stream. The same world with another seed is the same truth seen by other visits.
        days: Length of the simulated time.
        start: UTC; the end of the world's data where None.
        page_size: Places of a page, at most 64.
        requests: Mean number of pages per session, at least 1; a shifted geometric, cut at 16.
        search_share: Share of pages that are the answer to a query; the others are category pages.
        policy: Name in ``POLICIES``: how pages are filled, with known propensities.
        policy_weights: For ``mixture``: shares of pages that are personal, by popularity, and in random order.
        temperature: For ``plackett_luce``: the higher, the more random.
        personalisation: How much of the true affinity the logging ranker knows, beside popularity.
        click_model: Name in ``CLICK_MODELS``.
        position_power: For ``position``: place k is examined with probability k ** -power.
        go_on: For ``cascade``: probability to go on to the next place after no click, and after a click.
        click_rate: Mean probability of a click on what is examined, before drift.
        cart_rate: Mean probability of a cart after a click.
        purchase_rate: Mean probability of a purchase after a cart.
        refund_rate: Mean probability of a refund after a purchase, about.
        elasticity: Mean price elasticity of purchases per impression, in [-4, 0].
        elasticity_spread: Standard deviation of it over the shelves, cut at two.
        price_levels: Factors on the regular price; each product draws one per week.
        price_weights: How often each level is drawn.
        delayed_share: Share of purchases that come after the session.
        delay_days: Mean of that delay, an exponential cut at ``most_delay_days``.
        most_delay_days: The longest delay.
        refund_days: Mean delay of a refund, likewise cut, at four times the mean.
        seasonality: 1 for the usual differences between hours, weekdays and seasons, 0 for none.
        drift: What changes when, in any order.

    Raises:
        UsageError: If a value is out of its range; says which.
    """

    events: float = 1e6
    seed: int = 0
    days: float = 90.0
    start: datetime | None = None
    page_size: int = 10
    requests: float = 3.0
    search_share: float = 0.5
    policy: str = "mixture"
    policy_weights: tuple[float, float, float] = (0.5, 0.2, 0.3)
    temperature: float = 1.0
    personalisation: float = 0.5
    click_model: str = "position"
    position_power: float = 0.7
    go_on: tuple[float, float] = (0.9, 0.5)
    click_rate: float = 0.12
    cart_rate: float = 0.25
    purchase_rate: float = 0.4
    refund_rate: float = 0.05
    elasticity: float = -1.9
    elasticity_spread: float = 0.3
    price_levels: tuple[float, ...] = (0.7, 0.8, 0.9, 1.0, 1.1)
    price_weights: tuple[float, ...] = (0.05, 0.1, 0.15, 0.6, 0.1)
    delayed_share: float = 0.3
    delay_days: float = 3.0
    most_delay_days: float = 14.0
    refund_days: float = 7.0
    seasonality: float = 1.0
    drift: tuple[Drift, ...] = ()

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UsageError(unknown_name("policy", self.policy, POLICIES))
        if self.click_model not in CLICK_MODELS:
            raise UsageError(unknown_name("click model", self.click_model, CLICK_MODELS))
        for name, low, high in RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"{name} is {value:g}; wanted {low:g} to {high:g}")
        for name in ("policy_weights", "price_weights"):
            _check_weights(name, getattr(self, name))
        if len(self.price_levels) != len(self.price_weights) or min(self.price_levels) <= 0:
            raise UsageError(
                f"price_levels {self.price_levels} need one weight each, and to be above 0; "
                f"price_weights are {self.price_weights}"
            )
        if not all(0 <= one <= 1 for one in self.go_on):
            raise UsageError(f"go_on is {self.go_on}; wanted two probabilities")
        late = [one.day for one in self.drift if one.day >= self.days]
        if late:
            raise UsageError(f"drift on day {late[0]:g} of a simulation of {self.days:g} days; choose an earlier day")
        self._check_ceiling()

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the moment as ISO 8601."""
        return {**asdict(self), "start": None if self.start is None else self.start.isoformat()}

    def _check_ceiling(self) -> None:
        """A probability must stay below 1 at the lowest price and after every drift."""
        steepest = self.elasticity - 2 * self.elasticity_spread
        bend = max([1.0, *_running(self.drift, "price")])
        lift = min(self.price_levels) ** (steepest * bend / 3) if min(self.price_levels) < 1 else 1.0
        for kind in ("clicks", "purchases"):
            most = CEILING * lift * max([1.0, *_running(self.drift, kind)])
            if most > 1:
                raise UsageError(
                    f"probabilities of {kind} would reach {most:.2f}: elasticity {steepest * bend:.2f} at "
                    f"{min(self.price_levels):g} of the regular price, and drift; choose a higher lowest price level, "
                    "a smaller elasticity_spread or a weaker drift"
                )


RANGES = (
    ("events", 100, MOST_EVENTS),
    ("seed", 0, 2**63 - 1),
    ("days", 1, 3660),
    ("page_size", 1, MOST_PLACES),
    ("requests", 1, 8),
    ("search_share", 0, 1),
    ("temperature", 0.01, 100),
    ("personalisation", 0, 10),
    ("position_power", 0, 5),
    ("click_rate", 0.001, 0.4),
    ("cart_rate", 0.001, 0.4),
    ("purchase_rate", 0.001, 0.5),
    ("refund_rate", 0, 0.5),
    ("elasticity", -4, 0),
    ("elasticity_spread", 0, 2),
    ("delayed_share", 0, 1),
    ("delay_days", 0.01, 365),
    ("most_delay_days", 0.01, 365),
    ("refund_days", 0.01, 90),
    ("seasonality", 0, 1),
)


def _check_weights(name: str, weights: Sequence[float]) -> None:
    if min(weights, default=-1) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-9):
        raise UsageError(f"{name} are {tuple(weights)}; wanted 0 or more each, with the sum 1")


def _running(drift: Sequence[Drift], kind: str) -> list[float]:
    """Products of the factors of a kind up to each of them, by day."""
    found, product = [], 1.0
    for one in sorted(drift, key=lambda one: one.day):
        if one.kind == kind:
            product *= one.strength
            found.append(product)
    return found
