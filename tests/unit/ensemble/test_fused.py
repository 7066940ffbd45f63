"""Members that answer together: what is saved answers alike, and an answer comes whoever fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.context import in_context
from shoploom.ensemble.fused import DEPTH, MOST_VISITORS, Fused, Rung
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.fusions.pool import Pool, top
from shoploom.ensemble.load import load_member
from shoploom.ensemble.members import MEMBERS
from shoploom.errors import NotReadyError
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Numbers, Prediction, Ranked
from tests.shops import make_shop

NAMES = ("decayed_frequency", "personal_frequency", "popularity")
ONE = Cases(np.array([1], dtype=np.int32), k=3)


class Clock:
    """Time that passes only when a member takes it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


class Says:
    """A member that lists the same items for everybody, after a while, or breaks."""

    name: ClassVar[str] = "says"

    def __init__(self, *items: int, seconds: float = 0.0, broken: bool = False) -> None:
        self.items = items
        self.seconds = seconds
        self.broken = broken
        self.depths: list[int] = []

    def fit(self, shop: ShopArrays, task: object, *, seed: int = 0) -> None:
        raise AssertionError("not asked for")

    def predict(self, shop: ShopArrays, cases: Cases) -> Prediction:
        self.depths.append(cases.k)
        if self.broken:
            raise RuntimeError("a wire came loose")
        CLOCK.now += self.seconds
        items = np.tile(np.array(self.items, dtype=np.int32), (len(cases), 1))
        return Ranked(items, np.tile(np.arange(len(self.items), 0.0, -1.0), (len(cases), 1)))

    def save(self, folder: Path) -> None:
        raise AssertionError("not asked for")

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise AssertionError("not asked for")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoploom.ensemble.fused.time", CLOCK)


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=12, products=20, days=60)


def rung(*members: str, value: float = 0.5, ms: float = 1.0, fusion: str = "rank_average") -> Rung:
    return Rung(members, FUSIONS.load(fusion)(), value, ms)


def together(members: Mapping[str, Any], *rungs: Rung, max_ms: float | None = None) -> Fused:
    return Fused(members, rungs or [rung(*members)], max_ms=max_ms)


def items(found: Ranked) -> list[list[int]]:
    rows: list[list[int]] = found.items.tolist()
    return rows


def test_what_is_saved_answers_and_explains_exactly_alike(shop: ShopArrays, tmp_path: Path) -> None:
    task = TASKS.load("next_basket")()
    members = {name: MEMBERS.load(name)() for name in NAMES}
    for member in members.values():
        member.fit(shop, task)
    cases = Cases(np.arange(12, dtype=np.int32), k=5)
    lists = {name: one.predict(shop, replace(cases, k=DEPTH)) for name, one in members.items()}
    pool = in_context(shop, cases, Pool.of(lists))
    bought = pool.item % 4 == pool.row % 4
    rungs = []
    for number, (kind, names) in enumerate([("gate", NAMES), ("stacking", NAMES[:2]), ("selection", NAMES[1:])]):
        fusion = FUSIONS.load(kind)()
        part = pool.of_members(names)
        fusion.fit(part, part.item % 4 == part.row % 4)
        rungs.append(Rung(names, fusion, 0.5 - 0.1 * number, 9.0 - number))
    assert bought.any()
    fused = Fused(members, rungs)
    fused.save(tmp_path / "members" / "next_basket" / "fused")
    again = load_member(tmp_path, "next_basket", "fused")
    assert isinstance(again, Fused)
    for limit, kind in ((None, "gate"), (8.5, "stacking"), (7.5, "selection")):
        fused.max_ms = again.max_ms = limit
        assert again.rung.fusion.name == kind
        assert (again.rung.members, again.rung.value, again.rung.ms) == (
            fused.rung.members,
            fused.rung.value,
            fused.rung.ms,
        )
        before, after = fused.predict(shop, cases), again.predict(shop, cases)
        np.testing.assert_array_equal(before.items, after.items)
        np.testing.assert_array_equal(before.scores, after.scores)
        assert fused.contributions(shop, cases) == again.contributions(shop, cases)


def test_lists_are_those_of_the_fusion_over_deep_lists_of_the_members(shop: ShopArrays) -> None:
    members = {"a": Says(1, 2, 3, 4), "b": Says(4, 3, 2)}
    fused = together(members)
    cases = Cases(np.array([0, 5], dtype=np.int32), k=2)
    lists = {name: one.predict(shop, cases) for name, one in members.items()}
    pool = Pool.of({name: one for name, one in lists.items() if isinstance(one, Ranked)})
    expected = top(pool, FUSIONS.load("rank_average")().score(pool), 2)
    assert items(fused.predict(shop, cases)) == items(expected)
    assert members["a"].depths == [2, DEPTH], "members are asked deeper than the list is long"


def test_a_longer_list_than_the_usual_depth_is_asked_for_whole(shop: ShopArrays) -> None:
    member = Says(*range(20))
    together({"a": member}).predict(shop, replace(ONE, k=DEPTH + 40))
    assert member.depths == [DEPTH + 40]


@pytest.mark.parametrize(
    ("max_ms", "expected"),
    [(None, ("a", "b", "c")), (9.0, ("a", "b", "c")), (8.9, ("a", "b")), (4.0, ("c",)), (0.5, ("c",))],
)
def test_the_best_rung_that_the_budget_allows_answers_or_else_the_cheapest(
    shop: ShopArrays, max_ms: float | None, expected: tuple[str, ...]
) -> None:
    members = {name: Says(number) for number, name in enumerate("abc")}
    rungs = [rung("c", value=0.3, ms=2.0), rung("a", "b", "c", value=0.6, ms=9.0), rung("a", "b", value=0.5, ms=5.0)]
    fused = together(members, *rungs, max_ms=max_ms)
    assert fused.rung.members == expected
    fused.predict(shop, replace(ONE, units=np.array([0, 1], dtype=np.int32)))
    assert [name for name, one in members.items() if one.depths] == list(expected)


def test_a_rung_that_costs_less_and_is_better_is_preferred(shop: ShopArrays) -> None:
    fused = together({"a": Says(1), "b": Says(2)}, rung("a", "b", value=0.4, ms=2), rung("a", value=0.5, ms=1))
    assert fused.rung.members == ("a",)


def test_a_member_that_raises_is_left_out_and_counted(shop: ShopArrays, caplog: pytest.LogCaptureFixture) -> None:
    members = {"a": Says(1, 2, 3), "broken": Says(broken=True), "b": Says(3, 4, 5)}
    fused = together(members)
    whole = together({"a": members["a"], "b": members["b"]})
    assert items(fused.predict(shop, ONE)) == items(whole.predict(shop, ONE))
    assert fused.dropped == {("broken", "failed"): 1}
    assert "member broken of an ensemble failed and is left out" in caplog.text
    assert "a wire came loose" in caplog.text
    fused.predict(shop, replace(ONE, units=np.array([1, 2], dtype=np.int32)))
    assert fused.dropped == {("broken", "failed"): 2}, "once per answer, however many customers are asked about"
    assert whole.dropped == {}


def test_contributions_without_a_member_that_raises_say_that_it_said_nothing(shop: ShopArrays) -> None:
    fused = together({"a": Says(1, 2, 3), "broken": Says(broken=True)})
    (found,) = fused.contributions(shop, ONE)
    assert [one.item for one in found] == [1, 2, 3]
    assert [one.ranks for one in found] == [{"a": rank, "broken": 0} for rank in (1, 2, 3)]
    assert all(one.shares == {"a": 1.0, "broken": 0.0} for one in found)


def test_those_who_are_left_answer_by_the_fusion_that_was_fitted_for_them(shop: ShopArrays) -> None:
    members = {"a": Says(1, 2, 3), "b": Says(3, 2, 9), "broken": Says(broken=True)}
    fused = together(
        members, rung("a", "broken", "b", value=0.9, ms=9, fusion="rank_average"),
        rung("b", "a", value=0.8, ms=5, fusion="voting"),
    )  # fmt: skip
    alone = together({"b": members["b"], "a": members["a"]}, rung("b", "a", fusion="voting"))
    np.testing.assert_array_equal(fused.predict(shop, ONE).scores, alone.predict(shop, ONE).scores)
    other = together({"b": members["b"], "a": members["a"]})
    assert fused.predict(shop, ONE).scores.max() != other.predict(shop, ONE).scores.max()


def test_when_all_members_fail_the_error_names_the_log(shop: ShopArrays) -> None:
    fused = together({"a": Says(broken=True), "b": Says(broken=True)})
    with pytest.raises(NotReadyError, match="no member of the ensemble could answer; the service's log says why"):
        fused.predict(shop, ONE)
    with pytest.raises(NotReadyError, match="no member of the ensemble could answer"):
        fused.contributions(shop, ONE)
    assert fused.dropped == {("a", "failed"): 2, ("b", "failed"): 2}


def test_a_member_that_is_not_reached_in_time_is_left_out_and_counted(shop: ShopArrays) -> None:
    members = {"quick": Says(1, 2), "slow": Says(3, 4, seconds=0.05), "late": Says(5, 6)}
    fused = together(members, rung(*members, ms=1.0), max_ms=20.0)
    found = fused.predict(shop, ONE)
    assert set(found.items[0].tolist()) == {1, 2, 3}, "the slow one was asked, the one after it was not"
    assert members["late"].depths == []
    assert fused.dropped == {("late", "slow"): 1}


def test_the_first_member_is_asked_however_little_time_there_is(shop: ShopArrays) -> None:
    members = {"slow": Says(3, 4, seconds=0.02), "late": Says(5, 6)}
    fused = together(members, rung(*members, ms=1.0), max_ms=1e-3)
    assert fused.predict(shop, ONE).items.tolist() == [[3, 4, -1]]
    assert fused.dropped == {("late", "slow"): 1}


def test_a_failed_member_does_not_count_as_the_one_that_must_answer(shop: ShopArrays) -> None:
    members = {"broken": Says(broken=True), "second": Says(3, 4)}
    fused = together(members, rung(*members, ms=1.0), max_ms=0.1)
    assert fused.predict(shop, ONE).items[0, :2].tolist() == [3, 4]
    assert fused.dropped == {("broken", "failed"): 1}


@pytest.mark.parametrize("visitors", [2, MOST_VISITORS, MOST_VISITORS + 1])
def test_a_table_waits_for_everybody_and_a_few_visitors_do_not(shop: ShopArrays, visitors: int) -> None:
    members = {"slow": Says(1, 2, seconds=0.03), "late": Says(5, 6)}
    fused = together(members, rung(*members, ms=1.0), max_ms=5.0)
    fused.predict(shop, replace(ONE, units=np.zeros(visitors, dtype=np.int32)))
    assert fused.dropped == ({("late", "slow"): 1} if visitors <= MOST_VISITORS else {})
    assert members["late"].depths == ([] if visitors <= MOST_VISITORS else [DEPTH])


def test_a_member_that_does_not_rank_is_left_out(shop: ShopArrays) -> None:
    class Counts(Says):
        def predict(self, shop: ShopArrays, cases: Cases) -> Prediction:
            return Numbers({"mean": np.ones(len(cases))})

    fused = together({"a": Says(1, 2, 3), "counts": Counts()})
    assert fused.predict(shop, ONE).items.tolist() == [[1, 2, 3]]


def test_customers_unknown_to_the_shop_are_answered(shop: ShopArrays) -> None:
    task = TASKS.load("next_basket")()
    members = {name: MEMBERS.load(name)() for name in ("decayed_frequency", "popularity")}
    for member in members.values():
        member.fit(shop, task)
    fused = together(members)
    strangers = Cases(np.array([-1, 3, len(shop.customers) + 7], dtype=np.int32), k=4)
    found = fused.predict(shop, strangers)
    assert (found.items >= 0).all()
    assert found.items[0].tolist() == found.items[2].tolist()
    np.testing.assert_array_equal(found.items[1:2], fused.predict(shop, strangers.take(np.array([1]))).items)
    told = fused.contributions(shop, strangers)
    assert [[one.item for one in row] for row in told] == found.items.tolist()


def test_contributions_are_the_lists_with_ranks_and_shares_of_every_member(shop: ShopArrays) -> None:
    fused = together({"a": Says(7, 8), "b": Says(8, 9)})
    (found,) = fused.contributions(shop, ONE)
    assert [one.item for one in found] == fused.predict(shop, ONE).items[0].tolist() == [8, 7, 9]
    first, second, third = found
    assert first.ranks == {"a": 2, "b": 1}
    # Credits 10 / (10 + rank): 10/12 of a and 10/11 of b, of their sum.
    assert first.shares == pytest.approx({"a": 11 / 23, "b": 12 / 23}, abs=1e-4)
    assert second.ranks == {"a": 1, "b": 0}
    assert (second.shares, third.shares) == ({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0})
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_nobody_asks_is_no_error(shop: ShopArrays) -> None:
    fused = together({"a": Says(1, 2), "b": Says(2, 1)})
    nobody = Cases(np.zeros(0, dtype=np.int32), k=3)
    assert fused.predict(shop, nobody).items.shape == (0, 3)
    assert fused.contributions(shop, nobody) == []


def test_orders_without_a_number_are_answered() -> None:
    shop = make_shop(customers=12, products=20, days=60, orders=False)
    fused = together({"a": Says(1, 2), "b": Says(2, 1)})
    assert fused.predict(shop, ONE).items[0, :2].tolist() == [1, 2]


def test_products_that_appeared_since_the_fit_can_be_listed(shop: ShopArrays) -> None:
    fused = together({"a": Says(1, 99), "b": Says(99, 1)})
    assert set(fused.predict(shop, ONE).items[0, :2].tolist()) == {1, 99}


def test_fitting_fits_every_member_and_leaves_the_fusions(shop: ShopArrays) -> None:
    task = TASKS.load("next_basket")()
    only = rung(*NAMES)
    fused = Fused({name: MEMBERS.load(name)() for name in NAMES}, [only])
    fused.fit(shop, task)
    assert fused.rung.fusion is only.fusion
    assert (fused.predict(shop, ONE).items >= 0).all()
