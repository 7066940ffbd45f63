"""Stable ids for events that come without one: a hash of the content plus an occurrence number.

Two equal lines of one import are two events (``-1`` is put after the second); the same lines imported again get the
same ids, so a second import adds only what is new. The hash is our own arithmetic on bytes, not a library's, and will
not change with a version of polars. Price, discount and context are left out: correcting a mapping must not make every
event new.
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from shoploom.data import schema

CONTENT = (
    schema.TIME,
    schema.CUSTOMER,
    schema.SESSION,
    schema.ORDER,
    schema.STORE,
    schema.TYPE,
    schema.PRODUCT,
    schema.QUANTITY,
    schema.AMOUNT,
    schema.QUERY,
    schema.POSITION,
    schema.REQUEST,
)
"""Columns that make an event what it is."""

_DIGITS = 24
_NULL = np.array([0x9E3779B97F4A7C15, 0xD1B54A32D192ED03], dtype=np.uint64)
U64 = NDArray[np.uint64]


def content_ids(events: pl.DataFrame) -> pl.Series:
    """An id per row of canonical events, equal for equal content but for the occurrence number.

    Example:
        >>> events = schema.conform("events", pl.DataFrame({"product_id": ["a", "a", "b"]}))
        >>> ids = content_ids(events).to_list()
        >>> ids[1] == ids[0] + "-1", len(set(ids))
        (True, 3)
    """
    lanes = np.tile(np.array([1, 2], dtype=np.uint64), (len(events), 1))
    for place, name in enumerate(CONTENT, start=1):
        lanes *= np.uint64(0x2545F4914F6CDD1D)
        lanes ^= _values(events[name]) + np.uint64(place)
        _mix(lanes)
    ids = pl.DataFrame({"id": _hex(lanes)})
    repeated = ids["id"].is_duplicated()
    if not repeated.any():
        return ids["id"].alias(schema.EVENT_ID)
    number = pl.int_range(pl.len()).over("id")
    named = pl.when(number > 0).then(pl.col("id") + "-" + number.cast(pl.Utf8)).otherwise(pl.col("id"))
    some = ids.with_row_index("row").filter(repeated).with_columns(named=named).select("row", "named")
    joined = ids.with_row_index("row").join(some, on="row", how="left", maintain_order="left")
    return joined.select(pl.coalesce("named", "id").alias(schema.EVENT_ID)).to_series()


def fill_ids(events: pl.DataFrame) -> pl.DataFrame:
    """Canonical events with an id in every row; ids that the source gave stay."""
    missing = events[schema.EVENT_ID].is_null()
    if not missing.any():
        return events
    made = content_ids(events.filter(missing))
    if missing.all():
        return events.with_columns(made)
    filled = np.array(events[schema.EVENT_ID].to_list(), dtype=object)
    filled[missing.to_numpy()] = made.to_list()
    return events.with_columns(pl.Series(schema.EVENT_ID, filled.tolist(), dtype=pl.Utf8))


def _values(column: pl.Series) -> U64:
    """(n, 2) Two independent words per value; (2,) where all are null."""
    if column.null_count() == len(column):
        return _NULL
    if column.dtype == pl.Utf8:
        return _texts(column)
    if column.dtype.is_float():
        column = (column * 1e6).round()  # past the sixth digit it is arithmetic, not content
        bits = np.ascontiguousarray(column.fill_null(0.0).to_numpy() + 0.0).view(np.uint64)  # + 0.0: no minus zero
    else:
        bits = column.cast(pl.Int64).fill_null(0).to_numpy().astype(np.int64).view(np.uint64)
    words = _mix(np.stack([bits, bits ^ np.uint64(0xA0761D6478BD642F)], axis=1))
    words[column.is_null().to_numpy()] = _NULL
    return words


def _texts(column: pl.Series) -> U64:
    distinct = column.drop_nulls().unique(maintain_order=True)
    digests = b"".join(hashlib.blake2b(one.encode(), digest_size=16).digest() for one in distinct)
    words = np.vstack([np.frombuffer(digests, dtype="<u8").astype(np.uint64).reshape(-1, 2), _NULL])
    codes = pl.DataFrame({"one": distinct}).with_row_index("code")
    found = pl.DataFrame({"one": column}).join(codes, on="one", how="left", maintain_order="left")["code"]
    return np.asarray(words[found.fill_null(len(distinct)).to_numpy()])


def _mix(words: U64) -> U64:
    """The finaliser of splitmix64, in place: every bit of the input moves half the bits of the output."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def _hex(lanes: U64) -> pl.Series:
    table = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint8).reshape(256, 2)
    octets = lanes.astype(">u8").view(np.uint8).reshape(len(lanes), 16)[:, : _DIGITS // 2]
    text = np.ascontiguousarray(table[octets]).reshape(-1)
    offsets = np.arange(0, len(text) + 1, _DIGITS, dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    series = pl.from_arrow(pa.Array.from_buffers(pa.large_string(), len(lanes), buffers))
    assert isinstance(series, pl.Series)
    return series
