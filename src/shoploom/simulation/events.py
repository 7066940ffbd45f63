"""The stream as canonical events, in the order of time: what any shop would log, without the truth."""

# Shapes: n events

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.simulation.stream import Chunk, Simulation
from shoploom.simulation.world import World

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]

KINDS: Final = ("search", schema.IMPRESSION, "click", "add_to_cart", schema.PURCHASE, schema.REFUND)
LETTERS: Final = ("s", "i", "c", "a", "p", "r")
"""Of event ids, by kind; an id is prefix, letter, number of the page x 64 + place - 1."""
PLACES: Final = 64


@dataclass(frozen=True)
class _Flat:
    """Events as numbers, (n,) each; ``item``, ``query`` and ``order`` are -1 where there is none."""

    micros: I64
    kind: I32
    request: I64
    session: I64
    customer: I32
    item: I32
    query: I32
    shelf: I32
    position: I32
    quantity: I32
    order: I64
    price: F64
    regular: F64
    propensity: F64

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> _Flat:
        return _Flat(**{one.name: getattr(self, one.name)[rows] for one in fields(_Flat)})

    @staticmethod
    def join(parts: list[_Flat]) -> _Flat:
        return _Flat(**{one.name: np.concatenate([getattr(p, one.name) for p in parts]) for one in fields(_Flat)})


def event_stream(simulation: Simulation, chunks: Iterable[Chunk] | None = None) -> Iterator[pl.DataFrame]:
    """Canonical events, one frame per chunk and a last one, each event in its time over all frames.

    What follows later (delayed purchases, refunds) is held back until its time has come: that many numbers are kept in
    memory, and no more. Events after the last session begin of a chunk wait for the next one.

    Args:
        simulation: Whose.
        chunks: Of the simulation, for callers that want these, too; made here where None.

    Example:
        >>> from shoploom.simulation import Settings, World
        >>> frames = list(event_stream(Simulation(World.synthetic(), Settings(events=3_000))))
        >>> frames[0]["time"].is_sorted(), frames[0]["type"][0] in ("search", "impression")
        (True, True)
    """
    prefix = f"{simulation.name}-"
    waiting: list[_Flat] = []
    for chunk in simulation.chunks() if chunks is None else chunks:
        flat = _Flat.join([*waiting, _flat(chunk)])
        # All later sessions begin after the last one of this chunk has begun.
        last = chunk.requests.session[-1]
        begun = float(chunk.requests.time[np.searchsorted(chunk.requests.session, last)])
        ready = flat.micros < _micros(np.array([begun]))[0]
        waiting = [flat.take(~ready)]
        yield _frame(simulation.world, flat.take(ready), prefix)
    for flat in waiting:
        yield _frame(simulation.world, flat, prefix)


def impression_ids(simulation: Simulation, chunk: Chunk) -> pl.Series:
    """(n,) event ids of a chunk's impressions, as ``event_stream`` gives them."""
    number = pl.Series(chunk.request * PLACES + chunk.position - 1).cast(pl.Utf8)
    return (f"{simulation.name}-{LETTERS[KINDS.index(schema.IMPRESSION)]}" + number).alias(schema.EVENT_ID)


def _micros(days: F64) -> I64:
    return np.asarray(np.rint(days * 86_400e6), dtype=np.int64)


def _flat(chunk: Chunk) -> _Flat:
    """All events that a chunk leads to, kind by kind."""
    pages = chunk.requests
    searches = np.flatnonzero(pages.query >= 0)
    none = np.full(len(searches), -1, dtype=np.int32)
    nothing = np.full(len(searches), np.nan)
    parts = [
        _Flat(
            micros=_micros(pages.time[searches]),
            kind=np.zeros(len(searches), dtype=np.int32),
            request=pages.number[searches],
            session=pages.session[searches],
            customer=pages.customer[searches],
            item=none,
            query=pages.query[searches],
            shelf=pages.shelf[searches],
            position=none + 1,
            quantity=none + 1,
            order=none.astype(np.int64),
            price=nothing,
            regular=nothing,
            propensity=nothing,
        )
    ]
    for kind, (happened, time) in enumerate(
        (
            (np.ones(len(chunk), dtype=bool), chunk.time),
            (chunk.click, chunk.click_time),
            (chunk.cart, chunk.cart_time),
            (chunk.purchase, chunk.purchase_time),
            (chunk.refund, chunk.refund_time),
        ),
        start=1,
    ):
        rows = np.flatnonzero(happened)
        shown = kind == 1
        bought = kind >= KINDS.index(schema.PURCHASE)
        # one order per session; what is bought later is an order of its own
        own = chunk.request[rows] * PLACES + chunk.position[rows] - 1
        order = np.where(chunk.delayed[rows], 2 * own + 1, 2 * chunk.session[rows])
        parts.append(
            _Flat(
                micros=_micros(time[rows]),
                kind=np.full(len(rows), kind, dtype=np.int32),
                request=chunk.request[rows],
                session=chunk.session[rows],
                customer=chunk.customer[rows],
                item=chunk.item[rows],
                query=chunk.query[rows],
                shelf=chunk.shelf[rows],
                position=chunk.position[rows],
                quantity=chunk.quantity[rows] if bought else np.zeros(len(rows), dtype=np.int32),
                order=order if bought else np.full(len(rows), -1, dtype=np.int64),
                price=chunk.price[rows],
                regular=chunk.regular_price[rows],
                propensity=chunk.propensity[rows] if shown else np.full(len(rows), np.nan),
            )
        )
    return _Flat.join(parts)


def _frame(world: World, flat: _Flat, prefix: str) -> pl.DataFrame:
    """Canonical columns, sorted by time; equal times keep the order of kind, page and place."""
    flat = flat.take(np.argsort(flat.micros, kind="stable"))
    numbers = pl.DataFrame(
        {
            "number": flat.request * PLACES + np.maximum(flat.position, 1) - 1,
            schema.TIME: flat.micros,
            "kind": flat.kind,
            "session": flat.session,
            "order": flat.order,
            "request": flat.request,
            schema.QUANTITY: flat.quantity.astype(np.float64),
            schema.PRICE: flat.price,
            "regular": flat.regular,
            schema.POSITION: flat.position,
            schema.PROPENSITY: flat.propensity,
        }
    )
    bought = pl.col(schema.QUANTITY) > 0
    price = pl.col(schema.PRICE).fill_nan(None)
    events = numbers.with_columns(
        world.customers.gather(flat.customer).alias(schema.CUSTOMER),
        _texts(world.items, flat.item).alias(schema.PRODUCT),
        _texts(pl.Series(world.shelves.queries), flat.query).alias(schema.QUERY),
        pl.Series(KINDS).gather(flat.kind).alias(schema.TYPE),
        _contexts(world)
        .gather(np.where(flat.query >= 0, flat.shelf, flat.shelf + len(world.shelves)))
        .alias(schema.CONTEXT),
        pl.Series(LETTERS).gather(flat.kind).alias("letter"),
    ).select(
        (pl.lit(prefix) + pl.col("letter") + pl.col("number").cast(pl.Utf8)).alias(schema.EVENT_ID),
        pl.col(schema.TIME).cast(schema.STAMP),
        schema.CUSTOMER,
        (pl.lit(prefix) + pl.col("session").cast(pl.Utf8)).alias(schema.SESSION),
        pl.when(pl.col("order") >= 0).then(pl.lit(prefix + "o") + pl.col("order").cast(pl.Utf8)).alias(schema.ORDER),
        schema.TYPE,
        schema.PRODUCT,
        pl.when(bought).then(pl.col(schema.QUANTITY)).alias(schema.QUANTITY),
        price.alias(schema.PRICE),
        pl.when(bought).then((price * pl.col(schema.QUANTITY)).round(4)).alias(schema.AMOUNT),
        (pl.col("regular").fill_nan(None) - price).clip(lower_bound=0.0).round(4).alias(schema.DISCOUNT),
        schema.QUERY,
        pl.when(pl.col(schema.POSITION) > 0).then(pl.col(schema.POSITION)).alias(schema.POSITION),
        (pl.lit(prefix + "q") + pl.col("request").cast(pl.Utf8)).alias(schema.REQUEST),
        pl.col(schema.PROPENSITY).fill_nan(None),
        schema.CONTEXT,
    )
    return schema.conform("events", events)


def _texts(words: pl.Series, rows: I32) -> pl.Series:
    """Words at rows, null at -1."""
    return words.gather(pl.Series(rows.astype(np.int64)).replace(-1, None))


def _contexts(world: World) -> pl.Series:
    """JSON by shelf: search pages, then category pages."""
    listings = world.shelves.listings
    texts = [
        f'{{"page":"{page}","shelf":{shelf},"listing":{listing}}}'
        for page in ("search", "category")
        for shelf, listing in enumerate(listings)
    ]
    return pl.Series(texts)
