"""Answers for many customers or products at once, as a table that can be written to Parquet or CSV."""

# Shapes: B cases, k list length, V values of an attribute

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from shoploom.data import schema
from shoploom.data.arrays import EPOCH, ShopArrays
from shoploom.data.vocabulary import Vocabulary
from shoploom.errors import NotFoundError, UsageError
from shoploom.inference.catalogue import Filters
from shoploom.inference.served import Served
from shoploom.tasks.base import Cases, Classes, Numbers, Prediction, Ranked

RANK, SCORE, VALUE, ATTRIBUTE, BLOCK, PROBABILITY = "rank", "score", "value", "attribute", "block", "probability"


def predict_all(served: Served, task_name: str, ids: Sequence[str] | None = None, *, k: int = 20) -> pl.DataFrame:
    """One task's answers as a table.

    Args:
        served: The version that answers.
        task_name: Which task.
        ids: Customers (or products, by the task's unit) to answer for, in this order; None: all that can be asked.
        k: Length of ranked lists.

    Returns:
        Rankings: customer, rank, product, score. Numbers: id and one column each. Demand: product, block, its start,
        and the numbers. Classes: id, attribute, value, probability.

    Raises:
        NotFoundError: If the version does not serve the task, or an id is unknown.
    """
    task = served.require(task_name)
    state = served.state
    cases = task.serve_cases(state.shop)
    if ids is not None:
        cases = _only(cases, _rows(state.shop, task.unit, ids))
    elif task.unit == "customer":
        names = state.shop.customers.ids
        shown = [row for row in cases.units.tolist() if not state.hidden.hides("customers", names[row])]
        cases = cases if len(shown) == len(cases) else _only(cases, np.array(shown, dtype=np.int32))
    if task.shape == "ranking":
        if k < 1:
            raise UsageError(f"k is {k}; a list needs at least one place")
        cases = replace(cases, k=k, allowed=state.allowed(Filters()))
    answer = served.members[task_name].predict(state.shop, cases)
    if task.unit == "customer":
        return _table(answer, cases, state.shop, schema.CUSTOMER, state.shop.customers)
    return _table(answer, cases, state.shop, schema.PRODUCT, state.shop.items)


def split_known(served: Served, task_name: str, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The ids of a task's unit that the version knows, in their order, and those that it does not.

    Raises:
        NotFoundError: If the version does not serve the task.
    """
    unit = served.require(task_name).unit
    names = served.state.shop.customers if unit == "customer" else served.state.shop.items
    return [one for one in ids if one in names], [one for one in ids if one not in names]


def _rows(shop: ShopArrays, unit: str, ids: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    names = shop.customers if unit == "customer" else shop.items
    rows = names.rows(ids)
    unknown = [one for one, row in zip(ids, rows, strict=True) if row < 0]
    if unknown:
        shown = ", ".join(repr(one) for one in unknown[:5])
        raise NotFoundError(
            f"{len(unknown)} of {len(ids)} {unit} ids are unknown to this version: {shown}"
            f"{', ...' if len(unknown) > 5 else ''}. Ids are compared exactly as the shop spells them; leave these out"
        )
    return rows


def _only(cases: Cases, rows: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Cases:
    """The same questions about other units; a demand question keeps all its blocks."""
    rows = rows.astype(np.int32)
    if cases.blocks is None:
        return replace(cases, units=rows, when=None)
    blocks = np.unique(cases.blocks)
    return replace(cases, units=np.repeat(rows, len(blocks)), blocks=np.tile(blocks, len(rows)), scale=None)


def _table(answer: Prediction, cases: Cases, shop: ShopArrays, unit: str, names: Vocabulary) -> pl.DataFrame:
    ids = np.array(names.ids, dtype=object)[cases.units]
    if isinstance(answer, Ranked):
        return _ranked(answer, ids, shop)
    if isinstance(answer, Classes):
        return _classes(answer, ids, unit)
    assert isinstance(answer, Numbers)
    columns: dict[str, pl.Series] = {unit: pl.Series(ids, dtype=pl.Utf8)}
    if cases.blocks is not None:
        length = timedelta(days=shop.clock.block_days)
        first = EPOCH + timedelta(days=shop.end)
        columns[BLOCK] = pl.Series(cases.blocks, dtype=pl.Int32)
        columns[schema.START] = pl.Series([first + int(block) * length for block in cases.blocks], dtype=schema.STAMP)
    return pl.DataFrame({**columns, **{name: pl.Series(values) for name, values in answer.columns.items()}})


def _ranked(answer: Ranked, ids: np.ndarray[tuple[int], np.dtype[np.object_]], shop: ShopArrays) -> pl.DataFrame:
    shown = answer.items >= 0
    depth = answer.items.shape[1]
    products = np.array(shop.items.ids, dtype=object)
    return pl.DataFrame(
        {
            schema.CUSTOMER: pl.Series(np.repeat(ids, depth)[shown.ravel()], dtype=pl.Utf8),
            RANK: pl.Series(np.tile(np.arange(1, depth + 1), len(ids))[shown.ravel()], dtype=pl.Int32),
            schema.PRODUCT: pl.Series(products[answer.items[shown]], dtype=pl.Utf8),
            SCORE: pl.Series(answer.scores[shown]),
        }
    )


def _classes(answer: Classes, ids: np.ndarray[tuple[int], np.dtype[np.object_]], unit: str) -> pl.DataFrame:
    parts = [
        pl.DataFrame(
            {
                unit: pl.Series(np.repeat(ids, len(values)), dtype=pl.Utf8),
                ATTRIBUTE: pl.Series([name] * (len(ids) * len(values)), dtype=pl.Utf8),
                VALUE: pl.Series(list(values) * len(ids), dtype=pl.Utf8),
                PROBABILITY: pl.Series(answer.probabilities[name].ravel()),
            }
        )
        for name, values in answer.values.items()
    ]
    kinds = {**dict.fromkeys((unit, ATTRIBUTE, VALUE), pl.Utf8), PROBABILITY: pl.Float64}
    return pl.concat(parts) if parts else pl.DataFrame(schema=kinds)
