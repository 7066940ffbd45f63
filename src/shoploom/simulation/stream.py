"""Sessions, pages, impressions and what follows from them, as columns, block by block.

A block is 512 sessions and has its own source of chance, so the stream depends on world and settings only: not on the
size of the chunks, and any block can be made without the others. Memory does not grow with the number of events.
"""

# Shapes: R requests, M candidates of a shelf, K places of a page, D rank, n impressions, C customers, G regimes

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import day_of
from shoploom.simulation.click_models import CLICK_MODELS
from shoploom.simulation.click_models.base import ClickModel
from shoploom.simulation.clock import Clock
from shoploom.simulation.policies import POLICIES
from shoploom.simulation.policies.base import Policy
from shoploom.simulation.prices import WeeklyPrices
from shoploom.simulation.settings import Settings
from shoploom.simulation.truth import Lookings, Truth
from shoploom.simulation.world import World, draw_rows

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

BLOCK: Final = 512
"""Sessions of a block."""
MOST_REQUESTS: Final = 16
PILOT_BLOCKS: Final = 8
_STREAM, _PILOT = 11, 12
SECOND: Final = 1 / 86_400
MINUTE: Final = 60 * SECOND
PAUSE, LEAST_PAUSE = 90.0, 20.0
"""Mean and least seconds between two pages of a session."""
CHECKOUT: Final = 180
"""Seconds from the last page to the order; longer than from any page to a cart."""
MORE: Final = 0.3
"""Probability of one more piece, up to nine."""


@dataclass(frozen=True)
class Requests:
    """Pages, (r,) each, in the order of session and time.

    ``number`` is ``16 x session + page`` and unique in the stream; ``time`` in days since 1970-01-01 UTC; ``query`` a
    position in ``world.shelves.queries``, -1 for a category page; ``shelf`` what it shows.
    """

    number: I64
    session: I64
    time: F64
    customer: I32
    shelf: I32
    query: I32


@dataclass(frozen=True)
class Chunk:
    """Impressions with labels and truth, one array per column, all of length n; and the pages they stand on.

    Times are days since 1970-01-01 UTC, as in ``ShopArrays``. Labels say what happens in the end, also after the
    session: a purchase is known from ``purchase_time`` on. Times of what does not happen are NaN.

    Args:
        time: When the page was shown.
        session: Number of the session, from 0, by start.
        request: Number of the page; ``requests.number`` has it, too.
        customer: Row in ``world.customers``.
        item: Row in ``world.items``.
        shelf: Row in ``world.shelves``; the category as it was asked for.
        query: Position in ``world.shelves.queries``; -1 on category pages.
        position: From 1.
        price: Shown, per unit.
        regular_price: Of the product; price / regular_price is randomised by week.
        propensity: Of this product at this place; its meaning is that of ``simulation.policy.meaning``.
        examined: Whether the place was looked at; nobody can observe it.
        click, cart, purchase, refund: Labels, each only where the one before it is true.
        click_time, cart_time, purchase_time, refund_time: When.
        delayed: Whether the purchase comes after the session.
        quantity: Pieces of a purchase, 0 without one.
        regime: How many planted drifts have happened.
        p_examine: True probability that the place is examined, given the page.
        p_relevant: True probability of a click if examined.
        p_cart: True probability of a cart after a click.
        p_purchase: True probability of a purchase after a cart.
        p_refund: True probability of a refund after a purchase.
        requests: The pages.
    """

    time: F64
    session: I64
    request: I64
    customer: I32
    item: I32
    shelf: I32
    query: I32
    position: I32
    price: F64
    regular_price: F64
    propensity: F64
    examined: Flags
    click: Flags
    cart: Flags
    purchase: Flags
    refund: Flags
    click_time: F64
    cart_time: F64
    purchase_time: F64
    refund_time: F64
    delayed: Flags
    quantity: I32
    regime: I32
    p_examine: F64
    p_relevant: F64
    p_cart: F64
    p_purchase: F64
    p_refund: F64
    requests: Requests

    def __len__(self) -> int:
        return len(self.time)

    @property
    def p_click(self) -> F64:
        """pCTR: p_examine x p_relevant."""
        return self.p_examine * self.p_relevant

    @property
    def p_conversion(self) -> F64:
        """pCVR: purchase after a click, p_cart x p_purchase."""
        return self.p_cart * self.p_purchase

    @property
    def p_click_conversion(self) -> F64:
        """pCTCVR: purchase after an impression, pCTR x pCVR."""
        return self.p_click * self.p_conversion

    @staticmethod
    def join(parts: list[Chunk]) -> Chunk:
        """Chunks one after the other."""
        if len(parts) == 1:
            return parts[0]
        names = [one.name for one in fields(Chunk) if one.name != "requests"]
        pages = [one.requests for one in parts]
        joined = {one.name: np.concatenate([getattr(p, one.name) for p in pages]) for one in fields(Requests)}
        columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
        return Chunk(**columns, requests=Requests(**joined))


class Simulation:
    """A world and settings, ready to be streamed as often as wanted.

    On creation a pilot of a few thousand sessions, with a source of chance of its own, sets the intercepts so that the
    mean rates are those of the settings, and the number of sessions so that there are about ``settings.events`` events.

    Args:
        world: Customers and products.
        settings: How they visit.

    Example:
        >>> simulation = Simulation(World.synthetic(), Settings(events=5_000))
        >>> chunk = next(simulation.chunks())
        >>> bool((chunk.purchase <= chunk.click).all()), chunk.item.dtype
        (True, dtype('int32'))
    """

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.settings = settings
        self.start = day_of(settings.start or world.end)
        self.policy: Policy = POLICIES.load(settings.policy).of(settings)
        self.click_model: ClickModel = CLICK_MODELS.load(settings.click_model).of(settings)
        offset = world.offset_hours(settings.start or world.end)
        self.clock = Clock(self.start, settings.days, seasonality=settings.seasonality, offset_hours=offset)
        self.prices = self._prices(world.seed)  # the pilot knows nothing of the stream's seed
        self.places = min(settings.page_size, world.shelves.members.shape[1])
        self._customers = np.cumsum(world.activity)
        shelves = world.shelves
        held = np.maximum(shelves.members, 0)
        self._factors_SMD = world.item_factors[held]
        self._appeal_SM = np.where(shelves.members >= 0, world.appeal[held], -np.inf).astype(np.float32)
        self.truth = Truth.before_calibration(world, settings)
        pages = [self._pages(_PILOT, block, BLOCK, PILOT_BLOCKS * BLOCK) for block in range(PILOT_BLOCKS)]
        pilot = [replace(one, regime=np.zeros_like(one.regime)) for one in pages]
        self.truth = self.truth.calibrated(_joined([self._lookings(one) for one in pilot]))
        self.events_per_session = sum(map(self._expected_events, pilot)) / (PILOT_BLOCKS * BLOCK)
        self.sessions = max(1, round(settings.events / self.events_per_session))
        self.prices = self._prices(settings.seed)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.sessions // BLOCK)

    @property
    def name(self) -> str:
        """Begins all ids of the stream; another world, or other settings, have another one."""
        world = self.world
        about = [self.settings.to_dict(), world.seed, len(world.customers), len(world.items), world.end.isoformat()]
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=4).hexdigest()
        return f"sim{self.settings.seed}-{digest}"

    def chunks(self, impressions: int = 100_000, *, first_block: int = 0) -> Iterator[Chunk]:
        """The stream in chunks of at least so many impressions, whole blocks each; the last one is shorter.

        Args:
            impressions: Of a chunk; says nothing about what is in the stream.
            first_block: Where to begin.
        """
        parts: list[Chunk] = []
        held = 0
        for block in range(first_block, self.blocks):
            parts.append(self.block(block))
            held += len(parts[-1])
            if held >= impressions:
                yield Chunk.join(parts)
                parts, held = [], 0
        if parts:
            yield Chunk.join(parts)

    def block(self, number: int) -> Chunk:
        """The impressions of sessions 512 x number and following, by session, page and place.

        Raises:
            IndexError: If the stream has no such block.
        """
        if not 0 <= number < self.blocks:
            raise IndexError(f"block {number} of {self.blocks}")
        pages = self._pages(_STREAM, number, min(BLOCK, self.sessions - number * BLOCK), self.sessions)
        return self._followed(pages)

    def _prices(self, seed: int) -> WeeklyPrices:
        return WeeklyPrices(self.world.price, self.settings.price_levels, self.settings.price_weights, seed)

    def _pages(self, stream: int, number: int, count: int, total: int) -> _Pages:
        """Sessions, their pages and what these show."""
        world, settings = self.world, self.settings
        seed = settings.seed if stream == _STREAM else world.seed
        draws = np.random.Generator(np.random.SFC64([seed, stream, number]))
        session = number * BLOCK + np.arange(count)
        start = self.clock.moments((session + draws.random(count)) / total)
        customer = draw_rows(self._customers, draws.random(count))
        pages = draws.geometric(1 / settings.requests, count).clip(max=MOST_REQUESTS)
        of = np.repeat(np.arange(count), pages)
        page = np.arange(len(of)) - np.repeat(np.cumsum(pages) - pages, pages)
        pause = np.where(page > 0, LEAST_PAUSE + (PAUSE - LEAST_PAUSE) * draws.standard_exponential(len(of)), 0.0)
        passed = np.cumsum(pause)
        passed -= np.repeat(passed[np.cumsum(pages) - pages], pages)
        customer = customer[of]
        shelf = world.needs.draw(customer, draws)
        requests = Requests(
            number=(session[of] * MOST_REQUESTS + page),
            session=session[of],
            time=start[of] + passed * SECOND,
            customer=customer.astype(np.int32),
            shelf=shelf,
            query=self._queries(shelf, draws),
        )
        affinity_RM = np.matmul(self._factors_SMD[shelf], world.customer_factors[customer][:, :, None])[:, :, 0]
        score_RM = self._appeal_SM[shelf] + np.float32(settings.personalisation) * affinity_RM
        shown = self.policy.show(score_RM, world.shelves.sizes[shelf], self.places, draws)
        rows = np.arange(len(of))[:, None]
        item_RK = world.shelves.members[shelf[:, None], shown.columns]
        filled_RK = np.arange(self.places) < world.shelves.sizes[shelf][:, None]
        return _Pages(
            requests=requests,
            regime=self.truth.regime(start - self.start)[of],
            filled=filled_RK,
            items=np.where(filled_RK, item_RK, 0),
            affinity=affinity_RM[rows, shown.columns],
            propensities=shown.propensities,
            draws=draws,
        )

    def _queries(self, shelf: I32, draws: np.random.Generator) -> I32:
        """A text that finds the shelf, or -1 for a category page."""
        first, last = (self.world.shelves.query_offsets[shelf + one] for one in (0, 1))
        text = first + (draws.random(len(shelf)) * (last - first)).astype(np.int64)
        searched = draws.random(len(shelf)) < self.settings.search_share
        return np.where(searched, text, -1).astype(np.int32)

    def _lookings(self, pages: _Pages) -> Lookings:
        """The impressions of pages, place after place."""
        filled, requests = pages.filled, pages.requests
        of = np.repeat(np.arange(len(filled)), filled.sum(axis=1))
        item, customer, regime = pages.items[filled], requests.customer[of], pages.regime[of]
        affinity = pages.affinity[filled]
        if regime.any():  # the logging ranker goes on with the tastes it knew
            moved = np.flatnonzero(self.truth.taste[regime, customer] != customer)
            affinity[moved] = self.truth.affinity(customer[moved], item[moved], regime[moved])
        price = self.prices.at(item, requests.time[of])
        return Lookings(of, customer, item, requests.shelf[of], regime, affinity, price, price / self.world.price[item])

    def _followed(self, pages: _Pages) -> Chunk:
        """Clicks, carts, purchases and refunds of pages."""
        settings, draws, requests = self.settings, pages.draws, pages.requests
        seen, filled = self._lookings(pages), pages.filled
        chances = self.truth.chances(seen)
        relevance_RK = np.zeros(filled.shape)
        relevance_RK[filled] = chances.relevant
        clicks = self.click_model.clicks(relevance_RK, draws)
        of, size = seen.of, len(seen.of)
        position = np.broadcast_to(np.arange(1, self.places + 1), filled.shape)[filled]
        click = clicks.clicked[filled]
        clicked = np.flatnonzero(click)
        click_time = requests.time[of[clicked]] + (position[clicked] + 10 * draws.random(len(clicked))) * SECOND
        puts = draws.random(len(clicked)) < chances.cart[clicked]
        put, put_time = clicked[puts], click_time[puts] + (5 + 40 * draws.random(int(puts.sum()))) * SECOND
        buys = draws.random(len(put)) < chances.purchase[put]
        bought = put[buys]
        delayed = draws.random(len(bought)) < settings.delayed_share
        delay = _cut_exponential(draws.random(len(bought)), settings.delay_days, settings.most_delay_days)
        session_end = self._ends(requests)[of[bought]] + CHECKOUT * SECOND
        bought_time = np.where(delayed, put_time[buys] + MINUTE + delay, session_end)
        quantity = 1 + np.floor(np.log(1 - draws.random(len(bought))) / np.log(MORE)).clip(max=8).astype(np.int32)
        returns = draws.random(len(bought)) < chances.refund[bought]
        back = bought[returns]
        return_delay = _cut_exponential(draws.random(len(back)), settings.refund_days, 4 * settings.refund_days)
        return Chunk(
            time=requests.time[of],
            session=requests.session[of],
            request=requests.number[of],
            customer=seen.customer,
            item=seen.item,
            shelf=seen.shelf,
            query=requests.query[of],
            position=position.astype(np.int32),
            price=seen.price,
            regular_price=self.world.price[seen.item],
            propensity=pages.propensities[filled],
            examined=clicks.examined[filled],
            click=click,
            cart=_flags(size, put),
            purchase=_flags(size, bought),
            refund=_flags(size, back),
            click_time=_spread(size, clicked, click_time),
            cart_time=_spread(size, put, put_time),
            purchase_time=_spread(size, bought, bought_time),
            refund_time=_spread(size, back, bought_time[returns] + return_delay),
            delayed=_flags(size, bought[delayed]),
            quantity=_counts(size, bought, quantity),
            regime=seen.regime,
            p_examine=clicks.examination[filled],
            p_relevant=chances.relevant,
            p_cart=chances.cart,
            p_purchase=chances.purchase,
            p_refund=chances.refund,
            requests=requests,
        )

    def _ends(self, requests: Requests) -> F64:
        """(R,) time of the last page of each page's session."""
        last = np.flatnonzero(np.append(np.diff(requests.session) != 0, True))
        return np.repeat(requests.time[last], np.diff(np.concatenate([[-1], last])))

    def _expected_events(self, pages: _Pages) -> float:
        """Mean number of events that pages lead to."""
        seen = self._lookings(pages)
        chances = self.truth.chances(seen)
        relevance_RK = np.zeros(pages.filled.shape)
        relevance_RK[pages.filled] = chances.relevant
        examination = self.click_model.clicks(relevance_RK, pages.draws).examination[pages.filled]
        steps = 1 + chances.cart * (1 + chances.purchase * (1 + chances.refund))
        searches = int((pages.requests.query >= 0).sum())
        return len(seen.of) + searches + float((examination * chances.relevant * steps).sum())


@dataclass(frozen=True)
class _Pages:
    """Pages before anybody looked at them; ``draws`` goes on from there."""

    requests: Requests
    regime: I32
    filled: Flags
    items: I32
    affinity: NDArray[np.float32]
    propensities: F64
    draws: np.random.Generator


def simulate(world: World, settings: Settings, *, impressions: int = 100_000) -> Iterator[Chunk]:
    """Impressions with labels and truth, in chunks.

    Args:
        world: Customers and products.
        settings: How they visit.
        impressions: About the size of a chunk.

    Example:
        >>> chunks = list(simulate(World.synthetic(), Settings(events=20_000), impressions=5_000))
        >>> bool((chunks[0].p_click <= chunks[0].p_relevant).all()), int(chunks[0].position.min())
        (True, 1)
    """
    return Simulation(world, settings).chunks(impressions)


def _joined(parts: list[Lookings]) -> Lookings:
    return Lookings(**{one.name: np.concatenate([getattr(p, one.name) for p in parts]) for one in fields(Lookings)})


def _cut_exponential(chance: F64, mean: float, most: float) -> F64:
    """Draws of an exponential with this mean, given that it is below ``most``."""
    return np.asarray(-mean * np.log1p(-chance * -np.expm1(-most / mean)))


def _flags(size: int, rows: NDArray[np.integer]) -> Flags:
    found = np.zeros(size, dtype=bool)
    found[rows] = True
    return found


def _spread(size: int, rows: NDArray[np.integer], values: F64) -> F64:
    found = np.full(size, np.nan)
    found[rows] = values
    return found


def _counts(size: int, rows: NDArray[np.integer], values: I32) -> I32:
    found = np.zeros(size, dtype=np.int32)
    found[rows] = values
    return found
