from __future__ import annotations

import numpy as np
import pytest

from shoploom.config import TrainConfig
from shoploom.data import schema
from shoploom.errors import DataError
from shoploom.evaluation.endtoend import AHEAD_DAYS, code_lines, compare, with_signal
from shoploom.training import loop
from tests.shops import make_shop

VIEW = schema.EVENT_TYPES.index("view")


def test_the_planted_views_follow_what_comes_and_leave_purchases_alone():
    shop = make_shop()
    found = with_signal(shop, seed=1)
    views = found.lines.take(found.lines.kind == VIEW)
    bought = found.lines.take(found.lines.purchase)
    assert len(found.lines) - len(views) == len(shop.lines)
    assert not (views.purchase | views.goods).any()
    assert float(views.time.max()) < shop.end
    histories = found.histories(np.arange(len(shop.customers)))
    assert (np.diff(histories.lines.time) >= 0)[np.diff(histories.rows) == 0].all()
    rows = np.arange(0, len(views), 7)
    soon = [
        ((bought.customer == views.customer[row]) & (bought.time > views.time[row])
         & (bought.time <= views.time[row] + AHEAD_DAYS + 7)).any()
        for row in rows
    ]  # fmt: skip
    assert np.mean(soon) > 0.8


def test_lines_of_code_leave_out_docstrings_comments_and_blanks(tmp_path, monkeypatch):
    text = '"""Page.\n\nMore.\n"""\n\n# why\nx = 1\n\n\ndef f():\n    """What."""\n    return "a"  # b\n'
    path = tmp_path / "one.py"
    path.write_text(text)
    assert code_lines(str(path)) == 3  # an absolute path stands for itself


def test_every_contender_is_measured_and_only_raw_ones_find_the_signal(monkeypatch):
    monkeypatch.setitem(loop.STEPS, "tiny", 6)
    found = compare(make_shop(), TrainConfig(size="tiny", device="cpu"), seeds=(0,))
    assert [one.reads for one in found] == ["engineered"] * 4 + ["raw", "both"]
    assert sum(one.difference is None for one in found) == 1
    for one in found:
        assert 0 <= one.auc.low <= one.auc.value <= one.auc.high <= 1
        assert one.seconds > 0
        assert one.lines > 100
    for one in found[:4]:  # no feature reads views
        assert one.with_signal == pytest.approx(one.by_seed[0])
    assert found[4].with_signal != found[4].by_seed[0]


def test_a_shop_that_cannot_tell_is_refused():
    with pytest.raises(DataError, match="cannot tell who leaves"):
        compare(make_shop(days=40), TrainConfig(size="tiny", device="cpu"), seeds=(0,))
