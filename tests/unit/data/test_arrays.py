from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.shops import make_shop


def test_histories_that_were_read_before_are_those_of_the_same_shop_and_its_live_lines():
    shop, rows = make_shop(customers=12, products=10, days=90), np.array([3])
    before = shop.histories(rows)
    assert shop.histories(rows) is before
    earlier = shop.before(float(before.lines.time.max()))
    assert 0 < len(earlier.histories(rows).lines) < len(before.lines)
    busy = replace(shop, live={3: before.lines.take(slice(0, 1))})
    assert len(busy.histories(rows).lines) == len(before.lines) + 1
    assert len(shop.histories(rows).lines) == len(before.lines)
    assert len(shop.histories(np.array([4])).lines) != len(before.lines)
