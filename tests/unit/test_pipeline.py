from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoploom.pipeline import _board, unjudgeable
from shoploom.tasks.base import Cases, Truth
from shoploom.tasks.churn import Churn
from shoploom.tasks.new_for_you import NewForYou
from shoploom.tasks.spend import Spend


def test_a_task_whose_answer_is_the_same_for_all_is_off_and_says_why() -> None:
    units = np.arange(3, dtype=np.int32)
    same, different = Truth(numbers=np.zeros(3)), Truth(numbers=np.array([0.0, 1.0, 0.0]))
    found = unjudgeable({"churn": Churn()}, {"churn": Cases(units, truth=same)}, 19_000.0)
    assert "the answer is no for all 3 cases" in found["churn"]
    assert not unjudgeable({"churn": Churn()}, {"churn": Cases(units, truth=different)}, 19_000.0)
    assert not unjudgeable({"spend": Spend()}, {"spend": Cases(units, truth=same)}, 19_000.0)
    none = Cases(units[:0], truth=Truth(numbers=np.zeros(0)))
    assert "no case after 2022-01-08" in unjudgeable({"spend": Spend()}, {"spend": none}, 19_000.0)["spend"]


def test_a_ranking_with_nothing_right_to_find_is_off_and_says_why() -> None:
    units, found = np.arange(2, dtype=np.int32), np.array([4], dtype=np.int32)
    nothing = Truth(offsets=np.zeros(3, dtype=np.int64), items=found[:0])
    some = Truth(offsets=np.array([0, 1, 1]), items=found)
    off = unjudgeable({"new_for_you": NewForYou()}, {"new_for_you": Cases(units, truth=nothing)}, 19_000.0)
    assert "no product is a right answer to any of the 2 cases" in off["new_for_you"]
    assert not unjudgeable({"new_for_you": NewForYou()}, {"new_for_you": Cases(units, truth=some)}, 19_000.0)


def test_the_curves_of_every_task_can_be_read_in_tensorboard(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write = _board(tmp_path / "models" / "unfinished" / "a1b2")
    assert write is not None
    for number, value in enumerate((0.7, 0.6, 0.65)):
        write("train/churn", value, number)
        write("valid/churn", value + 0.05, number)
        write("valid/spend", 10 * value, number)
    read = events.EventAccumulator(str(tmp_path / "models" / "tensorboard" / "a1b2"))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {"train/churn", "valid/churn", "valid/spend"}
    assert [(one.step, round(one.value, 4)) for one in read.Scalars("valid/spend")] == [(0, 7.0), (1, 6.0), (2, 6.5)]
