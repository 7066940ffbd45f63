from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.data.arrays import ShopArrays
from tests.shops import make_shop


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=12, products=10, days=90)


def test_each_supposed_history_is_read_under_its_row(shop: ShopArrays) -> None:
    own = shop.histories(np.array([3])).lines
    half, none = own.take(slice(len(own) // 2)), own.take(slice(0))
    supposed, rows = shop.supposing(3, [half, none, own])
    found = supposed.histories(np.array([3, *rows]))
    assert np.diff(found.offsets).tolist() == [len(own), len(half), 0, len(own)]
    np.testing.assert_array_equal(found.lines.item, np.concatenate([own.item, half.item, own.item]))


def test_rows_of_what_ifs_belong_to_nobody_else(shop: ShopArrays) -> None:
    own = shop.histories(np.array([3])).lines
    supposed, rows = shop.supposing(3, [own, own])
    assert rows.min() >= len(shop.customers)
    assert supposed.persons(np.array([1, -1, *rows], dtype=np.int32)).tolist() == [1, -1, 3, 3]
    assert shop.persons(np.array([1, 3])).tolist() == [1, 3]
    assert not shop.live
    assert supposed.lines is shop.lines


def test_live_events_stay_with_the_customer(shop: ShopArrays) -> None:
    fresh = shop.lines.take(slice(0, 2))
    busy = replace(shop, live={3: fresh, 4: fresh})
    before = len(shop.histories(np.array([3])).lines)
    supposed, rows = busy.supposing(3, [fresh])
    sizes = np.diff(supposed.histories(np.array([3, *rows])).offsets)
    assert sizes.tolist() == [before + 2, 2]
