"""How the report shows quality beyond accuracy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from shoploom.evaluation import charts
from shoploom.evaluation.beyond_page import beyond_page
from shoploom.evaluation.definitions import DEFINITIONS, change, share
from shoploom.evaluation.report import finite, render, write_report
from tests.reports import make_report

TASK = "next_basket"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def section(page: str, name: str) -> str:
    return " ".join(page.partition(f'<section class="task" id="{name}">')[2].partition("</section>")[0].split())


def test_each_member_has_a_row_in_the_order_of_the_main_metric() -> None:
    page = beyond_page(make_report()["tasks"][TASK], ["shared", "tifu_knn", "personal_frequency", "popularity"])
    assert page is not None
    assert [member for member, _ in page.rows] == ["shared", "tifu_knn", "personal_frequency", "popularity"]
    assert [cell.text for cell in page.rows[0][1]] == ["6.92 %", "1.38", "93.1 %", "+43 %"]
    assert [cell.interval for cell in page.rows[0][1]] == ["", "1.18 – 1.58", "92.1 % – 94.1 %", "+33 % – +53 %"]
    assert [cell.text for cell in page.bought] == ["–", "5.57", "57.1 %", "–"]
    assert page.groups == [("catalogue", 1), ("what is new", 2), ("popularity", 1)]


def test_what_nobody_measured_has_no_column() -> None:
    page = render(make_report())
    assert DEFINITIONS["vector_diversity@10"].text not in page
    assert DEFINITIONS["gini@10"].text not in page


def test_every_column_says_what_it_means() -> None:
    text = section(render(make_report()), TASK)
    for name in ("coverage@10", "novelty@10", "never_bought@10", "popularity_lift@10"):
        one = DEFINITIONS[name]
        assert f'<abbr title="{escape(one.text)}">{one.heading}</abbr>' in text
        assert f"<dd>{escape(one.text)}</dd>" in text


def test_kinds_of_customers_and_products_have_counts_and_intervals() -> None:
    text = section(render(make_report()), TASK)
    assert "ndcg@10 by kind of customer" in text
    assert "recall@20 by kind of product" in text
    assert "new</abbr><small>212 cases</small>" in text
    assert "tail</abbr><small>611 cases</small>" in text
    assert '<td class="n">0.00692 <small>0.00292 – 0.0109</small></td>' in text  # shared on occasional customers
    assert "<th>Slice</th>" not in text  # the same numbers without intervals


def test_a_task_without_it_is_silent() -> None:
    report = make_report()
    assert "Beyond accuracy" not in section(render(report), "churn")
    for beyond in ({}, None, {"members": {}}):
        report["tasks"][TASK]["beyond"] = beyond
        text = section(render(report), TASK)
        assert "Beyond accuracy" not in text
        assert "<th>Slice</th>" in text
    del report["tasks"][TASK]["beyond"]
    assert section(render(report), TASK) == text


def test_numbers_that_are_none_and_members_without_a_main_metric_are_dashes() -> None:
    report = make_report()
    beyond = report["tasks"][TASK]["beyond"]
    beyond["members"]["stranger"] = {"coverage@10": {"value": float("nan"), "low": None, "high": None}}
    text = section(render(finite(report)), TASK)
    assert '<td>stranger</td><td class="n">–</td>' in text
    assert "<title>stranger" not in text


def test_names_are_escaped() -> None:
    report = make_report()
    task = report["tasks"][TASK]
    for part in (task, task["beyond"]):
        part["members"]["<img>"] = part["members"]["tifu_knn"]
    page = render(report)
    assert "<img>" not in page
    assert page.count("&lt;img&gt;") > 3


def test_shares_and_changes_read_well() -> None:
    assert [share(one) for one in (0.0, 0.000158, 0.0605, 0.9996, 1.0)] == [
        "0 %",
        "0.0158 %",
        "6.05 %",
        "100.0 %",
        "100 %",
    ]
    assert [change(one) for one in (1.5721, 0.02, -0.5, -0.034, None)] == ["+157 %", "+2.0 %", "−50 %", "−3.4 %", "–"]


def boxes(chart: str) -> list[tuple[float, float, float, float]]:
    """Where the names of a scatter plot lie, by a generous width per letter."""
    found = []
    pattern = r'<text class="name[^"]*" x="([\d.-]+)" y="([\d.-]+)" text-anchor="(\w+)">([^<]+)</text>'
    for x, y, anchor, name in re.findall(pattern, chart):
        width = 5.5 * len(name)
        left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        found.append((left, float(y) - 9, left + width, float(y) + 2))
    return found


def test_names_beside_points_do_not_cover_each_other() -> None:
    points = {
        "shared": (6.9, 0.229),
        "popularity": (0.02, 0.092),
        "personal_frequency": (8.8, 0.206),
        "decayed_frequency": (11.4, 0.214),
        "tifu_knn": (10.6, 0.218),
        "lightgbm_ranker": (8.2, 0.234),
        "blend": (8.0, 0.235),
    }
    chart = charts.scatter(points, strong=("shared", "blend"), label="accuracy over coverage")
    assert chart.count("<circle") == 7
    assert chart.count('class="dot-1"') == 2
    placed = boxes(chart)
    assert len(placed) == 7
    for number, one in enumerate(placed):
        assert 0 <= one[0] < one[2] <= charts.WIDTH
        for other in placed[:number]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_a_scatter_plot_of_nothing_is_empty_and_of_one_point_is_drawn() -> None:
    assert charts.scatter({}, strong=(), label="x") == ""
    assert charts.scatter({"a": (0.0, 0.0)}, strong=(), label="<x>").count("<circle") == 1
    assert "<x>" not in charts.scatter({"a": (0.0, 0.0)}, strong=(), label="<x>")


@pytest.mark.browser
def test_tables_fit_on_a_laptop_and_scroll_on_a_phone(tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; on Debian and Ubuntu: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; make setup")
    report = make_report()
    every = {"value": 0.123456, "low": 0.1, "high": 0.2}
    for metrics in report["tasks"][TASK]["beyond"]["members"].values():
        metrics.update(dict.fromkeys(DEFINITIONS, every))
    write_report(report, tmp_path)
    with playwright.sync_playwright() as running:
        browser: Any = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        laptop = browser.new_page(viewport={"width": 1366, "height": 900})
        laptop.goto(f"file://{tmp_path}/report.html")
        widths = "[...document.querySelectorAll('.beyond')].map(one => one.scrollWidth - one.parentElement.clientWidth)"
        assert laptop.evaluate(widths) == [0, 0, 0]
        assert laptop.locator(f"#{TASK} .chart").count() == 2
        laptop.get_by_text("What the columns mean").click()
        assert laptop.locator(".meanings dt").count() == len(DEFINITIONS)
        assert laptop.locator(".meanings dd").first.is_visible()
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.goto(f"file://{tmp_path}/report.html")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_metric_is_described_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tasks" / "README.md").read_text(encoding="utf-8")
    assert [name for name in DEFINITIONS if f"`{name}`" not in page] == []
