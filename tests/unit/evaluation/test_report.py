from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from shoploom.evaluation import charts
from shoploom.evaluation.numbers import number, signed
from shoploom.evaluation.report import finite, gains, render, task_page, write_report
from shoploom.evaluation.verdicts import best_rival, verdict
from tests.reports import make_report, spread

VOID = {"meta", "br", "link", "input", "hr", "img"}


class Balance(HTMLParser):
    """Collects unclosed and wrongly closed tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_page_and_json_twin_are_written_and_agree(tmp_path: Path) -> None:
    report = make_report()
    write_report(report, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    page = (tmp_path / "report.html").read_text()
    for words in ("v0003", "0.0952", "tifu knn", "no customer has attributes", "1 min 58 s", "4,810,233"):
        assert words in page, words
    assert page.count('<section class="task"') == 4


def test_page_loads_nothing_from_elsewhere() -> None:
    page = render(make_report())
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert "<link" not in page


def test_page_is_well_formed_and_names_from_the_shop_are_escaped() -> None:
    report = make_report()
    report["tasks"]["next_basket"]["members"]['<img src="x">'] = {"ndcg@10": spread(0.05, 0.001)}
    page = render(report)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert balance.wrong == []
    assert "Corner <Shop>" not in page
    assert "Corner &lt;Shop&gt;" in page
    assert '<img src="x">' not in page


def test_nan_becomes_null_and_a_dash(tmp_path: Path) -> None:
    report = make_report()
    report["tasks"]["churn"]["members"]["logistic"]["auc"] = dict.fromkeys(("value", "low", "high"), math.nan)
    report["tasks"]["churn"]["differences"]["logistic"] = dict.fromkeys(("value", "low", "high"), math.nan)
    write_report(report, tmp_path)
    assert (
        json.loads((tmp_path / "report.json").read_text())["tasks"]["churn"]["members"]["logistic"]["auc"]["low"]
        is None
    )
    assert "nan" not in (tmp_path / "report.html").read_text().lower().replace("finance", "")


def test_a_report_with_every_task_switched_off_still_renders() -> None:
    report = make_report()
    for task in report["tasks"].values():
        task.update(missing="too little data", members={}, differences={})
    report.update(curves={}, cost={"seconds": {}, "peak_memory_mb": None, "parameters": {}}, warnings=[])
    assert "too little data" in render(report)


@pytest.mark.parametrize(
    ("lower", "low", "high", "expected"),
    [
        (False, 0.01, 0.02, "better"),
        (False, -0.02, -0.01, "worse"),
        (True, -0.02, -0.01, "better"),
        (True, 0.01, 0.02, "worse"),
        (False, -0.01, 0.02, "level"),
        (False, 0.0, 0.02, "level"),
        (False, None, None, "not measurable"),
        (False, math.nan, math.nan, "not measurable"),
    ],
)
def test_verdict_follows_the_interval_and_the_direction(
    lower: bool, low: float | None, high: float | None, expected: str
) -> None:
    task = {"lower_is_better": lower, "differences": {"rival": {"value": None, "low": low, "high": high}}}
    assert verdict(task, "rival") == expected


def test_the_verdict_says_who_was_not_there_or_could_not_be_measured() -> None:
    nothing = {"auc": dict.fromkeys(("value", "low", "high"), math.nan)}
    found = {"auc": spread(0.7, 0.1)}
    task: dict[str, Any] = {"metric": "auc", "lower_is_better": False, "differences": {}}
    assert verdict({**task, "members": {"shared": found}}, None) == "alone"
    assert verdict({**task, "members": {"few_trips": found}}, "few_trips") == "not judged"
    both = {"shared": nothing, "few_trips": nothing}
    assert best_rival({**task, "members": both}) is None
    assert verdict({**task, "members": both}, None) == "not measurable"


def test_the_page_shows_the_value_of_what_serves_and_who_decided_when() -> None:
    report = make_report()
    report["data"]["judged_on"] = "2017-11-07 to 2018-01-02"
    page = " ".join(render(report).split())
    row = page.split('href="#demand"')[1].split("</tr>")[0]
    assert row.count('<td class="n">0.369</td>') == 2
    assert "Who serves is decided on the last horizon before the end of the data (2017-11-07 to 2018-01-02)" in page
    assert "is served by that rival" not in page


def test_best_rival_has_no_part_of_the_shared_model() -> None:
    report = make_report()
    report["tasks"]["next_basket"]["members"]["blend"] = {"ndcg@10": spread(0.2, 0.01)}
    report["tasks"]["next_basket"]["differences"]["blend"] = spread(-0.1, 0.01)
    assert best_rival(report["tasks"]["next_basket"]) == "tifu_knn"
    assert best_rival(report["tasks"]["demand"]) == "lightgbm_demand"
    assert best_rival(report["tasks"]["profile"]) is None


def test_gains_point_the_same_way_whichever_direction_is_better() -> None:
    report = make_report()
    pages = [task_page(name, task, report) for name, task in report["tasks"].items()]
    rows, zero = gains(pages)
    gain = {row.member: row for row in rows}
    assert gain["spend"].value == pytest.approx(100 * (0.531 - 0.52) / 0.531)
    assert gain["demand"].value == pytest.approx(100 * (0.369 - 0.404) / 0.369)
    assert gain["demand"].dot < zero < gain["spend"].dot
    assert "profile" not in gain


def test_numbers_read_well() -> None:
    assert [number(v) for v in (0.5, 0.004321, 99.96, 123.4, 0.0)] == ["0.500", "0.00432", "100.0", "123", "0"]
    assert signed(0.0) == "0"
    assert finite({"a": [math.inf, 1, "x"]}) == {"a": [None, 1, "x"]}


def test_charts_without_values_are_empty_and_single_points_do_not_divide_by_zero() -> None:
    assert charts.lines({"training": [], "validation": []}, label="x") == ""
    assert charts.calibration([], [], [], label="x") == ""
    assert "<circle" in charts.lines({"training": [0.5]}, label="x")
    assert "<circle" in charts.calibration([0.5], [0.5], [3], label="x")
    assert charts.lines({"training": [1.0, None, 0.5]}, label="<b>").count("&lt;b&gt;") == 1


def test_curves_and_matrices_are_drawn_where_there_are_some() -> None:
    report = make_report()
    points = {"false_positives": [0.0, 0.2, 1.0], "true_positives": [0.0, 0.7, 1.0],
              "recall": [0.5, 1.0], "precision": [0.9, 0.4]}  # fmt: skip
    report["tasks"]["churn"] |= {
        "curves": {"shared": points, "lightgbm_churn": points},
        "confusion": {
            "answer": {"values": ["no", "yes"], "counts": [[900, 100], [50, 150]], "right_among_others": None}
        },
    }
    page = render(report)
    assert page.count('aria-label="ROC curve of churn"') == 1
    assert page.count('aria-label="precision and recall of churn"') == 1
    assert "ROC curve of spend" not in page
    assert "What is taken for what" in page
    assert "75 %" in page  # of 200 who left, 150 were named
