"""The customer members find what was put into the synthetic shop."""

from functools import cache

import numpy as np
import pytest

from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.outlook import Scaler, outlook
from shoploom.ensemble.members.storage import load_state
from shoploom.ensemble.members.usual_spend import DEFAULT, spread
from shoploom.errors import WorkspaceError
from shoploom.tasks import TASKS
from tests.shops import make_shop


@cache
def score(task_name, member_name):
    shop, task = make_shop(customers=120), TASKS.load(task_name)()
    cut = shop.end - shop.clock.horizon_days
    past = shop.before(cut)
    cases = task.cases(past, shop.between(cut, shop.end))
    member = MEMBERS.load(member_name)()
    visible = task.hold_out(past)
    member.fit(visible, task, seed=0)
    return task.measure(cases, member.predict(visible, cases.blind())).values()


def test_own_favourites_beat_what_everybody_buys():
    assert score("next_basket", "personal_frequency")["ndcg@10"] > 1.3 * score("next_basket", "popularity")["ndcg@10"]


def test_the_ranker_beats_plain_frequency():
    ranked, plain = score("next_basket", "lightgbm_ranker"), score("next_basket", "personal_frequency")
    assert ranked["ndcg@10"] > plain["ndcg@10"]


def test_leavers_are_told_from_stayers():
    assert score("churn", "logistic")["auc"] > 0.7
    assert score("churn", "lightgbm_churn")["auc"] > 0.7


def test_spend_is_closer_than_zero_and_adds_up():
    for name in ("usual_spend", "linear_spend", "lightgbm_spend"):
        found = score("spend", name)
        assert found["wape"] < 0.7, name
        assert abs(found["bias"]) < 0.25, name
        assert 0.5 < found["coverage_p10_p90"] <= 1.0, name


def test_tastes_show_the_segment():
    majority = score("profile", "majority")["segment macro_f1"]
    assert score("profile", "logistic_profile")["segment macro_f1"] > majority + 0.3


def test_labelled_rows_come_from_horizons_that_are_over():
    shop = make_shop()
    rows = outlook(shop)
    horizon = float(shop.clock.horizon_days)
    past = shop.before(shop.end - horizon)
    newest = rows.cut == 0
    assert newest.sum() == len(past.active_customers())
    later = shop.between(shop.end - horizon, shop.end)
    kept = later.purchase & np.isin(later.customer, past.active_customers())
    assert rows.spend[newest].sum() == pytest.approx(float(later.amount[kept].astype(float).sum()))
    assert rows.away[newest].mean() == pytest.approx((rows.spend[newest] == 0).mean())
    assert outlook(shop) is rows  # the second member does not count again
    assert len(outlook(make_shop(days=20))) == 0


def test_the_scaler_caps_what_was_never_seen():
    scaler = Scaler.fit(np.array([[0.0, 5.0], [2.0, 5.0]]))
    np.testing.assert_allclose(scaler(np.array([[1.0, 5.0], [1e9, 6.0]])), [[0.0, 0.0], [8.0, 1.0]])


def test_intervals_without_history_are_wide():
    assert spread(outlook(make_shop(days=20)), np.zeros(0)) == DEFAULT


def test_a_folder_without_member_is_named(tmp_path):
    with pytest.raises(WorkspaceError, match="holds no member"):
        load_state(tmp_path)
