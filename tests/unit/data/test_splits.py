from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from shoploom.data.splits import last_cut, rolling_cuts, rolling_splits, split_at
from shoploom.errors import DataError
from tests.shops import make_shop


@pytest.fixture(scope="module")
def shop():
    return make_shop()


def test_the_past_ends_where_the_future_begins(shop):
    split = split_at(shop, last_cut(shop))
    assert split.past.lines.time.max() < split.cut <= split.future.time.min()
    assert split.future.time.max() < split.cut + shop.clock.horizon_days
    assert len(split.past.lines) + len(split.future) == len(shop.lines)
    assert split.past.end == split.cut


def test_moving_the_future_does_not_move_the_past(shop):
    early = split_at(shop, last_cut(shop) - 28).past
    late = split_at(shop, last_cut(shop)).past.before(early.end)
    for name in ("customer", "item", "time", "quantity", "amount"):
        np.testing.assert_array_equal(getattr(early.lines, name), getattr(late.lines, name))


def test_a_cut_whose_horizon_is_not_over_is_refused(shop):
    with pytest.raises(DataError, match="ends 1 days after the data"):
        split_at(shop, last_cut(shop) + 1)


def test_a_cut_before_all_events_is_refused(shop):
    with pytest.raises(DataError, match="no event lies before"):
        split_at(shop, shop.start - 100)


def test_rolling_cuts_use_no_future_twice(shop):
    splits = list(rolling_splits(shop, 3))
    assert [split.cut for split in splits] == sorted(split.cut for split in splits)
    assert splits[-1].cut == last_cut(shop)
    for one, other in pairwise(splits):
        assert one.future.time.max() < other.future.time.min()


def test_a_short_history_gives_fewer_folds(shop):
    cuts = rolling_cuts(shop, 100)
    assert 0 < len(cuts) < 100
    assert cuts[0] - shop.start >= shop.clock.horizon_days
