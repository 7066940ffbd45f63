from __future__ import annotations

import json

import numpy as np
import pytest

from shoploom.ensemble.court import BLEND, SHARED, judge
from shoploom.tasks.base import Cases, Numbers, Ranked, Truth
from shoploom.tasks.churn import Churn
from shoploom.tasks.next_basket import NextBasket
from shoploom.tasks.spend import Spend

DRAWS = np.random.default_rng(3)
AMOUNTS = DRAWS.gamma(2.0, 50.0, 400)
CASES = Cases(np.arange(400, dtype=np.int32), truth=Truth(numbers=AMOUNTS))


def noisy(spread: float, seed: int, shift: float = 1.0) -> Numbers:
    draws = np.random.default_rng(seed)
    return Numbers({"mean": shift * AMOUNTS * np.exp(draws.normal(0, spread, 400) - spread**2 / 2)})


def test_the_best_member_serves_and_the_reason_names_the_difference() -> None:
    found = judge(Spend(), CASES, {SHARED: noisy(0.5, 1), "usual_spend": noisy(0.1, 2)}, blend=False)
    assert found.served_by == "usual_spend"
    assert "usual_spend beats the shared model" in found.reason
    difference = found.differences["usual_spend"]
    assert difference.value == pytest.approx(
        found.members[SHARED]["wape"].value - found.members["usual_spend"]["wape"].value
    )
    assert 0 < difference.low < difference.value < difference.high
    assert difference.p_value < 0.05


def test_the_shared_model_serves_when_it_wins_or_ties() -> None:
    same = noisy(0.2, 1)
    assert judge(Spend(), CASES, {"usual_spend": same, SHARED: same}, blend=False).served_by == SHARED
    found = judge(Spend(), CASES, {SHARED: noisy(0.1, 1), "usual_spend": noisy(0.5, 2)}, blend=False)
    assert found.served_by == SHARED
    assert found.differences["usual_spend"].high < 0


def test_a_forecast_that_lies_low_does_not_win_by_it() -> None:
    # the low one is 0.02 better in WAPE, but 15 points of bias beyond the tolerated 10 cost 0.075
    honest = Numbers({"mean": AMOUNTS * np.where(np.arange(400) % 2, 1.27, 0.73)})
    low = Numbers({"mean": AMOUNTS * 0.75})
    found = judge(Spend(), CASES, {SHARED: low, "linear_spend": honest}, blend=False)
    assert found.members[SHARED]["wape"].value < found.members["linear_spend"]["wape"].value
    assert found.served_by == "linear_spend"


def test_a_blend_of_two_independent_errors_serves() -> None:
    found = judge(Spend(), CASES, {SHARED: noisy(0.4, 1), "linear_spend": noisy(0.4, 2)})
    assert found.served_by == BLEND
    assert found.blend is not None
    assert found.blend[:2] == (SHARED, "linear_spend")
    assert 0.3 <= found.blend[2] <= 0.7
    assert found.members[BLEND]["wape"].value < 0.85 * found.members[SHARED]["wape"].value


def test_the_weight_of_a_blend_is_never_chosen_on_the_cases_it_is_scored_on() -> None:
    # Two halves that want opposite weights: chosen on its own half the blend would be perfect, across it is the worst.
    ids = np.arange(400, dtype=np.uint64)
    half = (ids + 1) * np.uint64(2654435761) % np.uint64(2**32) >= np.uint64(2**31)
    shared = Numbers({"mean": np.where(half, AMOUNTS, 2 * AMOUNTS)})
    rival = Numbers({"mean": np.where(half, 2 * AMOUNTS, AMOUNTS)})
    found = judge(Spend(), CASES, {SHARED: shared, "linear_spend": rival})
    assert found.members[BLEND]["wape"].value == pytest.approx(0.9)
    assert found.served_by != BLEND


def test_slices_and_calibration_of_a_binary_task() -> None:
    labels = (DRAWS.random(600) < 0.3).astype(float)
    cases = Cases(np.arange(600, dtype=np.int32), truth=Truth(numbers=labels))
    good = Numbers({"probability": np.where(labels > 0, 0.6, 0.2)})
    masks = {"even": np.arange(600) % 2 == 0, "nobody": np.zeros(600, dtype=bool)}
    found = judge(
        Churn(), cases, {SHARED: good, "few_trips": Numbers({"probability": np.full(600, 0.3)})}, slices=masks
    )
    assert found.slices["even"].cases == 300
    assert found.slices["even"].members["few_trips"] == 0.5
    assert "nobody" not in found.slices
    assert found.calibration is not None
    assert sum(found.calibration["count"]) == 600


def test_a_single_member_serves_and_the_report_is_json() -> None:
    found = judge(Spend(), CASES, {"usual_spend": noisy(0.2, 1)})
    assert found.served_by == "usual_spend"
    assert "only member" in found.reason
    report = json.loads(json.dumps(found.to_dict()))
    assert set(report["members"]["usual_spend"]["wape"]) == {"value", "low", "high"}
    assert report["missing"] is None


def test_two_judgements_agree_to_the_last_digit() -> None:
    predictions = {SHARED: noisy(0.4, 1), "linear_spend": noisy(0.4, 2)}
    assert judge(Spend(), CASES, predictions).to_dict() == judge(Spend(), CASES, predictions).to_dict()


def test_raises_without_members_or_cases() -> None:
    with pytest.raises(ValueError, match="no member"):
        judge(Spend(), CASES, {})
    empty = Cases(np.zeros(0, dtype=np.int32), truth=Truth(numbers=np.zeros(0)))
    with pytest.raises(ValueError, match="no cases"):
        judge(Spend(), empty, {SHARED: Numbers({"mean": np.zeros(0)})})


def ranking_case(first_right: np.ndarray, second_right: np.ndarray) -> tuple[Cases, dict[str, Ranked]]:
    """Every order holds item 0; a member that is right puts it first, else it shows items of its own only."""
    count = len(first_right)
    truth = Truth(offsets=np.arange(count + 1), items=np.zeros(count, dtype=np.int32))

    def lists(right: np.ndarray, others: list[int]) -> Ranked:
        items = np.where(right[:, None], [0, *others[:4]], others).astype(np.int32)
        return Ranked(items, np.tile(np.arange(5.0, 0, -1), (count, 1)))

    cases = Cases(np.arange(count, dtype=np.int32), k=5, truth=truth)
    return cases, {SHARED: lists(first_right, [1, 2, 3, 4, 9]), "tifu_knn": lists(second_right, [5, 6, 7, 8, 10])}


def test_a_blend_of_rankings_serves_only_if_it_is_surely_better() -> None:
    half = np.arange(400) % 2 == 0
    cases, answers = ranking_case(half, ~half)
    assert judge(NextBasket(), cases, answers).served_by == BLEND
    cases, answers = ranking_case(half, half)
    assert judge(NextBasket(), cases, answers).served_by == SHARED
    # better by the one case in which the rival is right alone: that may be chance
    nearly = half.copy()
    nearly[1] = True
    cases, answers = ranking_case(half, nearly)
    found = judge(NextBasket(), cases, answers)
    assert found.served_by == "tifu_knn"
    assert "tifu_knn beats the shared model" in found.reason
