from __future__ import annotations

import numpy as np

from shoploom.pipeline import unjudgeable
from shoploom.tasks.base import Cases, Truth
from shoploom.tasks.churn import Churn
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
