"""Curves and matrices of the report against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.ensemble.outcomes import MOST_CLASSES, POINTS, confusions, outcome_curves
from shoploom.metrics.classification import RankedLabels, auc, average_precision
from shoploom.tasks.base import Cases, Classes, Numbers, Truth


def binary(labels: np.ndarray, probability: np.ndarray) -> tuple[Cases, Numbers]:
    units = np.arange(len(labels), dtype=np.int32)
    return Cases(units, truth=Truth(numbers=labels.astype(float))), Numbers({"probability": probability})


def test_areas_under_the_curves_are_the_metrics() -> None:
    draws = np.random.default_rng(0)
    labels, scores = draws.integers(0, 2, 300), draws.integers(0, 40, 300) / 40  # with ties
    ranked = RankedLabels(labels, scores)
    false, true = ranked.roc()
    assert np.trapezoid(true, false) == pytest.approx(auc(labels, scores))
    recall, precision = ranked.precision_recall()
    steps = np.diff(np.concatenate([[0.0], recall]))
    assert steps @ precision == pytest.approx(average_precision(labels, scores))


def test_curves_of_a_binary_task_are_thinned_and_keep_their_ends() -> None:
    draws = np.random.default_rng(0)
    cases, answer = binary(draws.integers(0, 2, 5000), draws.random(5000))
    found = outcome_curves(cases, {"shared": answer})
    assert found is not None
    one = found["shared"]
    assert len(one["false_positives"]) <= POINTS + 2
    assert (one["false_positives"][0], one["true_positives"][0]) == (0.0, 0.0)
    assert (one["false_positives"][-1], one["true_positives"][-1]) == (1.0, 1.0)
    assert one["recall"][-1] == 1.0
    assert np.trapezoid(one["true_positives"], one["false_positives"]) == pytest.approx(
        auc(cases.truth.numbers, answer.columns["probability"]), abs=0.01  # type: ignore[union-attr,arg-type]
    )  # fmt: skip


def test_one_class_has_no_curve() -> None:
    assert outcome_curves(binary(np.ones(5), np.ones(5))[0], {"shared": binary(np.ones(5), np.ones(5))[1]}) is None


def test_the_matrix_of_yes_and_no_by_hand() -> None:
    cases, answer = binary(np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.4, 0.5, 0.9]))
    assert confusions(cases, answer) == {
        "answer": {"values": ["no", "yes"], "counts": [[1, 1], [1, 2]], "right_among_others": None}
    }


def test_unknown_classes_are_left_out_and_rare_ones_share_a_row() -> None:
    values = tuple(f"v{one}" for one in range(20))
    truth = np.concatenate([np.repeat(np.arange(20), np.arange(40, 20, -1)), [-1, -1]]).astype(np.int32)
    guess = np.where(truth < 0, 0, truth)
    guess[-3] = 18  # v19 taken for v18: wrong, though both are among the others
    cases = Cases(np.arange(len(truth), dtype=np.int32), truth=Truth(codes={"colour": truth}))
    found = confusions(cases, Classes({"colour": values}, {"colour": np.eye(20)[guess]}))
    assert found is not None
    matrix = found["colour"]
    counts = np.array(matrix["counts"])
    assert counts.shape == (MOST_CLASSES, MOST_CLASSES)
    assert matrix["values"][0] == "v0"
    assert matrix["values"][-1] == "9 others"
    assert counts.sum() == len(truth) - 2
    others = int((truth >= 11).sum())
    assert counts[-1, -1] == others
    assert matrix["right_among_others"] == others - 1
