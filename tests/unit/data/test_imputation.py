from __future__ import annotations

import polars as pl
import pytest

from shoploom.data.imputation import MISSING, choose


@pytest.mark.parametrize(
    ("values", "method", "value"),
    [
        ([1.0, 2.0, 3.0, None], "mean", 2.0),
        ([1.0, 1.0, 1.0, 1.0, 100.0, None], "median", 1.0),
        ([1.0, None, None, None], "missing", None),
        ([1.0, 2.0], "none", None),
        (["a"] * 30 + [None], "mode", "a"),
        (["a", "b", None], "missing", MISSING),
        ([None, None], "none", None),
    ],
)
def test_the_choice_follows_the_distribution(values, method, value):
    column = pl.Series("x", values, dtype=pl.Utf8 if any(isinstance(one, str) for one in values) else pl.Float64)
    choice = choose(column)
    assert (choice.method, choice.value) == (method, value)
    if value is not None:
        assert choice.apply(column).null_count() == 0


def test_not_a_number_is_missing():
    assert choose(pl.Series("x", [1.0, 2.0, 3.0, float("nan")])).missing == 0.25
