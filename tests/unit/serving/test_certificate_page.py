from __future__ import annotations

from dataclasses import replace

import pytest

from shoploom.evaluation.certificate import FOLDER, Certificate, Cost, Line, write_certificate
from shoploom.serving.dashboard.certificates import MOST_REACH, page, reach_of


def line(task: str, gain: float, half: float, verdict: str = "open", slice_: str = "") -> Line:
    return Line(
        task, slice_, "auc", False, 500, 0.5 + gain, 0.5, gain, gain - half, gain + half, 0.0025, 0.5, 0.5, 0.5, verdict
    )


def made() -> Certificate:
    lines = [
        line("churn", 0.01, 0.005, "better"),
        line("spend", -0.01, 0.005, "worse"),
        line("churn", 0.0, 0.4, slice_="new"),
    ]
    cost = {"joint": Cost(3.0, 3.0, 10), "churn": Cost(3.0, 3.0, 10), "spend": Cost(3.0, 3.0, 10)}
    return Certificate(lines, [0, 1], cost, affinity={"churn": {"spend": -0.004}, "spend": {"churn": 0.002}})


def test_nothing_is_shown_where_none_was_made(tmp_path):
    assert page(tmp_path) == {"made": None}


def test_gains_stand_on_an_axis_around_the_middle(tmp_path):
    write_certificate(made(), tmp_path / FOLDER)
    found = page(tmp_path)
    better, worse = found["tasks"]
    assert better["at"] - 50 == pytest.approx(50 - worse["at"])
    assert better["left"] < better["at"] < better["left"] + better["width"]
    assert better["margin"] < 50
    assert (better["percent"], worse["percent"]) == ("+2.0 %", "−2.0 %")
    assert found["counts"] == {"better": 1, "no worse": 0, "worse": 1, "open": 0}
    assert len(found["kinds"]) == 1
    assert found["kinds"][0]["width"] <= 100
    assert found["kinds"][0]["beyond"] == "beyond-left beyond-right"
    assert better["beyond"] == ""


def test_helpers_and_hinderers_are_told_apart(tmp_path):
    write_certificate(made(), tmp_path / FOLDER)
    rows = dict(page(tmp_path)["affinity"])
    assert rows["churn"] == [("", 0.0), ("−4.0", -1.0)]
    assert rows["spend"] == [("+2.0", 0.5), ("", 0.0)]


def test_the_axis_is_not_stretched_by_one_wide_interval():
    usual = [line(str(number), 0.001, 0.01) for number in range(9)]
    assert reach_of([*usual, replace(usual[0], high=5.0)]) == pytest.approx(reach_of(usual))
    assert reach_of([line("a", 0.0, 9.0)]) == MOST_REACH
