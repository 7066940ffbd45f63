from __future__ import annotations

from pathlib import Path

import pytest

from shoploom.serving.dashboard import charts, views


def test_members_stand_best_first_on_one_axis() -> None:
    task = {
        "metric": "wape",
        "lower_is_better": True,
        "served_by": "shared",
        "members": {
            "mean": {"wape": {"value": 0.5, "low": 0.4, "high": 0.6}},
            "shared": {"wape": {"value": 0.3, "low": 0.2, "high": 0.4}},
            "other": {"bias": {"value": 0.1, "low": 0.0, "high": 0.2}},
        },
    }
    rows = views.task_view("demand", task)["rows"]
    assert [one["member"] for one in rows] == ["shared", "mean"]
    assert [one["serves"] for one in rows] == [True, False]
    assert rows[0]["dot"] < rows[1]["dot"]
    assert all(0 <= one["left"] <= one["dot"] <= one["left"] + one["width"] <= 100 for one in rows)


def test_a_metric_without_an_interval_is_a_dot() -> None:
    task = {"metric": "auc", "members": {"few trips": {"auc": {"value": 0.7, "low": None, "high": None}}}}
    row = views.task_view("churn", task)["rows"][0]
    assert row["width"] == 0


def test_the_price_marks_lie_in_order() -> None:
    marks = views.price_scale({"mean": 3.0, "p10": 2.0, "p90": 5.0, "shelf_price": 5.0})
    assert marks is not None
    assert marks["p10"] < marks["mean"] < marks["p90"] == marks["shelf_price"]


def test_visits_group_lines_of_an_order() -> None:
    line = {"time": "2024-01-01T10:00:00Z", "type": "purchase", "order": 1, "amount": 2.0}
    found = views.visits([line, line, {**line, "order": 2}])
    assert [(len(one["lines"]), one["amount"]) for one in found] == [(2, 4.0), (1, 2.0)]


def test_figures_cannot_end_their_script() -> None:
    assert "<" not in charts.embedded({"title": "</script><script>alert(1)"})


def test_no_quality_report_is_no_panel(tmp_path: Path) -> None:
    assert views.quality(tmp_path) is None
    (tmp_path / "quality.json").write_text('{"findings": [{"severity": "info"}, {"severity": "error"}]}')
    found = views.quality(tmp_path)
    assert found is not None
    assert found["counts"] == {"error": 1, "warning": 0, "info": 1}
    assert found["findings"][0]["severity"] == "error"


def test_demand_figures_shade_promotions() -> None:
    block = {"start": "2024-01-01T00:00:00Z", "end": "2024-01-08T00:00:00Z", "promotions": {"mailer": 0.5}}
    ahead = [{**block, "mean": 2.0, "p10": 1.0, "p90": 4.0}]
    figure = charts.demand([{**block, "pieces": 3.0, "promotions": {}}], ahead)
    assert len(figure["layout"]["shapes"]) == 1
    assert [one.get("name") for one in figure["data"]][-1] == "expected"
    assert figure["data"][2]["y"] == pytest.approx([1.0])
