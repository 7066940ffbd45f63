"""What every member of the ensemble has to do, whatever it is: one test per promise, all members of all tasks."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoploom.data.arrays import Lines, ShopArrays
from shoploom.ensemble.members import MEMBERS
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Classes, Numbers, Prediction, Ranked
from tests.shops import make_shop

BESIDE = (
    *("up_cf", "markov", "item_knn", "session_knn", "ease", "als", "content_based"),
    *("linear_ranker", "lightgbm_pointwise"),
)
"""Members that can answer both ranking tasks and are not among their rivals."""
PAIRS = [
    (task, name)
    for task in TASKS
    for name in ("shared", *TASKS.load(task)().rivals, *(BESIDE if TASKS.load(task)().shape == "ranking" else ()))
    if name in MEMBERS
] + [(task, "specialist") for task in ("price", "churn")]
RANKERS = [(task, name) for task, name in PAIRS if TASKS.load(task)().shape == "ranking"]
PERSONAL = [(task, name) for task, name in RANKERS if name not in ("popularity", "recent_popularity")]
BY_HISTORY = [(task, name) for task, name in RANKERS if name not in ("shared", "content_based")]
"""Those that know a product only by who bought it."""
CUSTOMERS = [(task, name) for task, name in PAIRS if TASKS.load(task)().unit == "customer"]
members = pytest.mark.parametrize(("task", "name"), PAIRS)
rankers = pytest.mark.parametrize(("task", "name"), RANKERS)
personal_rankers = pytest.mark.parametrize(("task", "name"), PERSONAL)
rankers_by_history = pytest.mark.parametrize(("task", "name"), BY_HISTORY)
customer_members = pytest.mark.parametrize(("task", "name"), CUSTOMERS)


def test_the_table_is_not_empty():
    assert len(PAIRS) > 10
    assert len(RANKERS) > 5
    assert len(PERSONAL) > 5
    assert len(BY_HISTORY) > 5


def test_every_member_of_the_table_is_tried():
    assert set(MEMBERS) == {name for _, name in PAIRS}


@cache
def past() -> ShopArrays:
    shop = make_shop()
    return shop.before(shop.end - shop.clock.horizon_days)


@cache
def cases_of(task: str) -> Cases:
    shop = make_shop()
    cut = shop.end - shop.clock.horizon_days
    return TASKS.load(task)().cases(shop.before(cut), shop.between(cut, shop.end))


@cache
def visible(task: str) -> ShopArrays:
    return TASKS.load(task)().hold_out(past())


@cache
def fitted(task: str, name: str, seed: int = 0) -> Any:
    member = MEMBERS.load(name)()
    member.fit(visible(task), TASKS.load(task)(), seed=seed)
    return member


def bought(shop: ShopArrays, customer: int, lines: Lines) -> Lines:
    """The lines as live purchases of one customer, just now."""
    time = shop.end + np.linspace(0.0, 0.01, len(lines))
    return replace(lines, customer=np.full(len(lines), customer, dtype=np.int32), time=time)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def arrays(prediction: Prediction) -> list[np.ndarray]:
    if isinstance(prediction, Ranked):
        return [prediction.items, prediction.scores]
    return list((prediction.columns if isinstance(prediction, Numbers) else prediction.probabilities).values())


def same(one: Prediction, other: Prediction) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


@members
def test_answers_have_the_shape_that_the_task_measures(task, name):
    cases = cases_of(task)
    prediction = fitted(task, name).predict(visible(task), cases.blind())
    if isinstance(prediction, Ranked):
        assert prediction.items.shape == prediction.scores.shape == (len(cases), cases.k)
        assert prediction.items.dtype == np.int32
        assert (prediction.items[:, 0] >= 0).all()
        for row in prediction.items:
            shown = row[row >= 0]
            assert len(np.unique(shown)) == len(shown)
        assert (np.diff(np.where(prediction.items >= 0, prediction.scores, -1e300), axis=1) <= 0).all()
    elif isinstance(prediction, Classes):
        for values, one in zip(prediction.values.values(), prediction.probabilities.values(), strict=True):
            assert one.shape == (len(cases), len(values))
            np.testing.assert_allclose(one.sum(axis=1), 1.0, atol=1e-6)
    else:
        for one in prediction.columns.values():
            assert one.shape == (len(cases),)
            assert np.isfinite(one).all()
        if "probability" in prediction.columns:
            assert ((prediction.columns["probability"] >= 0) & (prediction.columns["probability"] <= 1)).all()
        if "p10" in prediction.columns:
            assert (prediction.columns["p10"] <= prediction.columns["p90"]).all()
    values = TASKS.load(task)().measure(cases, prediction).values()
    assert TASKS.load(task)().metric in values


@members
def test_the_same_seed_gives_the_same_numbers(task, name):
    again = MEMBERS.load(name)()
    again.fit(visible(task), TASKS.load(task)(), seed=0)
    cases = cases_of(task).blind()
    assert same(again.predict(visible(task), cases), fitted(task, name).predict(visible(task), cases))


@members
def test_saving_and_loading_changes_nothing(task, name, tmp_path):
    member, cases = fitted(task, name), cases_of(task).blind()
    member.save(tmp_path / "member")
    loaded = MEMBERS.load(name).load(tmp_path / "member")
    assert same(loaded.predict(visible(task), cases), member.predict(visible(task), cases))
    assert not list(tmp_path.rglob("*.pkl"))


@members
def test_inputs_are_not_changed(task, name):
    shop = visible(task)
    live = bought(shop, 0, shop.lines.take(slice(0, 5)))
    shop = replace(shop, live={0: live}) if (task, name) in CUSTOMERS else shop
    allowed = np.arange(len(shop.items)) % 5 > 0 if (task, name) in RANKERS else None
    cases = replace(cases_of(task).blind(), allowed=allowed)
    given = [*(getattr(lines, one.name) for lines in (shop.lines, live) for one in fields(lines))]
    given += [shop.offsets, cases.units] + ([] if allowed is None else [allowed])
    before, catalogue = [one.copy() for one in given], shop.catalogue.clone()
    member = MEMBERS.load(name)()
    member.fit(shop, TASKS.load(task)(), seed=1)
    member.predict(shop, cases)
    for one, other in zip(before, given, strict=True):
        np.testing.assert_array_equal(one, other)
    assert shop.catalogue.equals(catalogue)


@members
def test_answering_leaves_no_trace(task, name, tmp_path):
    member, shop, cases = fitted(task, name), visible(task), cases_of(task).blind()
    member.save(tmp_path / "before")
    member.predict(shop, cases)
    if (task, name) in CUSTOMERS:
        live = {7: bought(shop, 7, shop.lines.take(slice(0, 9)))}
        member.predict(replace(shop, live=live), Cases(np.array([-1, 7], dtype=np.int32), k=3))
    member.save(tmp_path / "after")
    assert contents(tmp_path / "before") == contents(tmp_path / "after") != {}


@members
def test_no_case_is_answered_with_no_row(task, name):
    cases = cases_of(task)
    none = replace(cases.blind(), **{key: getattr(cases, key)[:0] for key in ("units",)})
    none = replace(none, when=None, blocks=None if cases.blocks is None else cases.blocks[:0], scale=None)
    assert all(len(one) == 0 for one in arrays(fitted(task, name).predict(visible(task), none)))


@customer_members
def test_one_customer_is_answered_as_in_the_batch(task, name):
    cases = cases_of(task).blind()
    batch = fitted(task, name).predict(visible(task), cases)
    for row in (0, len(cases) - 1):
        when = None if cases.when is None else cases.when[row : row + 1]
        single = fitted(task, name).predict(visible(task), replace(cases, units=cases.units[row : row + 1], when=when))
        for one, other in zip(arrays(single), arrays(batch), strict=True):
            np.testing.assert_allclose(one[0], other[row], rtol=1e-4, atol=1e-6)


@customer_members
def test_an_unknown_customer_gets_an_answer(task, name):
    cases = Cases(np.array([-1], dtype=np.int32), k=5)
    prediction = fitted(task, name).predict(visible(task), cases)
    if isinstance(prediction, Ranked):
        assert (prediction.items[0] >= 0).all()
    assert all(np.isfinite(one).all() for one in arrays(prediction))


@rankers
def test_only_allowed_products_are_shown(task, name):
    shop = visible(task)
    allowed = np.zeros(len(shop.items), dtype=bool)
    allowed[::3] = True
    cases = replace(cases_of(task).blind(), allowed=allowed, k=10, repeats="allow")
    items = fitted(task, name).predict(shop, cases).items
    assert allowed[items[items >= 0]].all()
    assert (items[:, :5] >= 0).all()


@rankers
def test_bought_goods_are_left_out_on_request(task, name):
    shop = visible(task)
    cases = replace(cases_of(task).blind(), repeats="exclude", k=5)
    items = fitted(task, name).predict(shop, cases).items
    for row, customer in enumerate(cases.units):
        lines = shop.lines.take(slice(int(shop.offsets[customer]), int(shop.offsets[customer + 1])))
        assert not set(items[row].tolist()) & set(lines.item[lines.goods & lines.purchase].tolist())


@rankers
def test_auto_leaves_out_bought_goods_only_where_the_task_is_about_new_ones(task, name):
    shop, cases = visible(task), cases_of(task).blind()
    wanted = "exclude" if task == "new_for_you" else "allow"
    member = fitted(task, name)
    assert same(
        member.predict(shop, replace(cases, repeats="auto")), member.predict(shop, replace(cases, repeats=wanted))
    )


@rankers
def test_a_longer_list_than_there_are_products_ends_early(task, name):
    shop = visible(task)
    cases = replace(cases_of(task).blind(), k=len(shop.items) + 7)
    items = fitted(task, name).predict(shop, cases).items
    assert items.shape[1] == len(shop.items) + 7
    assert (items[:, -7:] == -1).all()


@customer_members
def test_live_events_reach_the_answer(task, name):
    shop = visible(task)
    quiet = int(np.argmin(np.where(np.diff(shop.offsets) > 0, np.diff(shop.offsets), 10**6)))
    rows = np.flatnonzero(shop.lines.customer != quiet)[:400:10]
    live = shop.lines.take(rows)
    changed = {"customer": np.full(len(live), quiet, dtype=np.int32), "time": shop.end + np.linspace(0, 0.1, len(live))}
    live = replace(live, **changed)
    busy = replace(shop, live={quiet: live})
    prediction = fitted(task, name).predict(busy, Cases(np.array([quiet], dtype=np.int32), k=5))
    assert all(len(one) == 1 for one in arrays(prediction))


@personal_rankers
def test_what_was_bought_a_moment_ago_changes_the_very_next_answer(task, name):
    shop, member = visible(task), fitted(task, name)
    case = cases_of(task).blind().take(np.array([3]))
    customer = int(case.units[0])
    first = member.predict(shop, case)
    asked = first.items[0, :3]
    donor = shop.lines.take(
        np.array([int(np.flatnonzero((shop.lines.item == one) & shop.lines.goods)[0]) for one in asked])
    )
    busy = replace(shop, live={customer: bought(shop, customer, donor)})
    then = member.predict(busy, case)
    assert not same(first, then)
    if task == "new_for_you":
        assert not set(then.items[0].tolist()) & set(asked.tolist())


@customer_members
def test_a_loaded_member_reads_live_events_as_the_saved_one_does(task, name, tmp_path):
    shop, member = visible(task), fitted(task, name)
    member.save(tmp_path)
    loaded = MEMBERS.load(name).load(tmp_path)
    busy = replace(shop, live={5: bought(shop, 5, shop.lines.take(slice(40, 60)))})
    cases = replace(cases_of(task).blind().take(np.arange(3)), units=np.array([5, -1, 6], dtype=np.int32))
    for mine, other in zip(arrays(loaded.predict(busy, cases)), arrays(member.predict(busy, cases)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)  # states that are kept were made in another batch


@rankers_by_history
def test_nobody_is_shown_what_never_sold(task, name):
    shop = visible(task)
    sold = np.bincount(shop.lines.item[shop.lines.purchase & (shop.lines.customer >= 0)], minlength=len(shop.items)) > 0
    assert not sold.all()
    cases = replace(cases_of(task).blind(), k=len(shop.items))
    items = fitted(task, name).predict(shop, cases).items
    assert sold[items[items >= 0]].all()
    unknown = fitted(task, name).predict(shop, Cases(np.array([-1], dtype=np.int32), k=5)).items
    assert sold[unknown].all()


@rankers
def test_a_what_if_is_answered_as_the_customer_would_be(task, name):
    shop, customer = visible(task), int(cases_of(task).units[0])
    history = shop.histories(np.array([customer])).lines
    supposed, rows = shop.supposing(customer, [history, history.take(slice(0)), history.take(slice(len(history) // 2))])
    units = np.array([customer, -1, *rows], dtype=np.int32)
    cases = Cases(units, when=np.full(len(units), shop.end + 1), k=8, repeats="exclude")
    found = fitted(task, name).predict(supposed, cases)
    for real, supposition in ((0, 2), (1, 3)):
        np.testing.assert_array_equal(found.items[real], found.items[supposition])
        np.testing.assert_allclose(found.scores[real], found.scores[supposition], rtol=1e-5, atol=1e-6)
    assert not np.array_equal(found.items[2], found.items[4])


TINY = {
    "one customer, one product": {"customers": 1, "products": 1},
    "no orders, promotions, categories": {"orders": False, "promotions": False, "categories": False, "customers": 12},
    "a month of history": {"days": 31, "customers": 12},
}


@pytest.mark.parametrize("shop", list(TINY))
@customer_members
def test_small_and_poor_shops_are_survived(task, name, shop):
    poor = make_shop(**TINY[shop])
    member = MEMBERS.load(name)()
    member.fit(poor, TASKS.load(task)(), seed=0)
    prediction = member.predict(poor, Cases(np.array([0, -1], dtype=np.int32), k=3))
    assert all(len(one) == 2 for one in arrays(prediction))
    if not isinstance(prediction, Ranked):
        assert all(np.isfinite(one).all() for one in arrays(prediction))


@customer_members
def test_a_product_that_came_after_fitting_does_no_harm(task, name):
    old = visible(task)
    member = fitted(task, name)
    items = type(old.items)([*old.items.ids, "brand new"])
    catalogue = old.catalogue.vstack(old.catalogue.head(1))
    lines = old.lines.take(slice(0, 3))
    row = int(lines.customer[0])
    live: Lines = replace(lines, item=np.full(3, len(items) - 1, dtype=np.int32), time=np.full(3, old.end + 0.01))
    grown = replace(old, items=items, catalogue=catalogue, live={row: live})
    prediction = member.predict(grown, Cases(np.array([row], dtype=np.int32), k=4))
    assert all(len(one) == 1 for one in arrays(prediction))
