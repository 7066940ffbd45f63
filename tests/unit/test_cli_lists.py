"""``shoploom list``: every kind answers, wrong usage is named, and what stands in is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from shoploom.apps.lists import NAMES
from shoploom.cli import app
from shoploom.commands.lists import Kind
from tests.services import make_workspace, publish

RUNNER = CliRunner()
ASKED: dict[str, list[str]] = {
    "also_bought": ["p000"],
    "basket": ["p000", "p001", "--customer", "c001"],
    "session": ["p000"],
    "buy_again": ["c001", "--not-due"],
    "new_for_you": ["c001"],
    "category": ["toys"],
    "new_arrivals": ["c001", "--days", "60"],
    "segment": ["--attribute", "segment", "--value", "taste 3"],
    "promoted": ["--at", "2024-07-02"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "shop"
    publish(make_workspace(path))
    return path


def run(trained: Path, *args: str) -> Result:
    return RUNNER.invoke(app, ["list", *args, "-w", str(trained)])


def test_every_kind_is_tested_and_says_what_it_names() -> None:
    assert list(get_args(Kind)) == list(NAMES) == list(ASKED)


@pytest.mark.parametrize("kind", list(ASKED))
def test_every_kind_prints_a_table_and_json(trained: Path, kind: str) -> None:
    done = run(trained, kind, *ASKED[kind], "-k", "3")
    assert done.exit_code == 0, done.output
    assert "product" in done.stdout
    assert "because" in done.stdout
    answer: dict[str, Any] = json.loads(run(trained, kind, *ASKED[kind], "-k", "3", "--json").stdout)
    assert answer["list"] == kind
    assert answer["command"] == "list"
    assert answer["items"][0]["product_id"] in done.stdout
    assert len(answer["items"]) <= 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["also_bought"], "name one product"),
        (["also_bought", "p000", "p001"], "was given 2 names"),
        (["promoted", "c001", "c002"], "name at most one customer"),
        (["basket"], "name 1 to 100 products"),
        (["also"], "'also'"),
        (["segment"], "attribute with value"),
    ],
)
def test_wrong_usage_ends_with_two(trained: Path, args: list[str], message: str) -> None:
    done = run(trained, *args)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["buy_again", "C005"], "Did you mean 'c005'"),
        (["category", "Tois"], "Did you mean 'Toys'"),
        (["also_bought", "p0000"], "Did you mean 'p000'"),
        (["segment", "--attribute", "pett"], "Did you mean 'pet'"),
    ],
)
def test_unknown_names_end_with_one_and_the_nearest(trained: Path, args: list[str], message: str) -> None:
    done = run(trained, *args)
    assert done.exit_code == 1
    assert message in done.stderr


def test_what_stands_in_is_said(trained: Path) -> None:
    assert "passed over: nothing" in run(trained, "basket", "p000", "nothing").stdout
    assert "names session 'nosuch'" in run(trained, "session", "--session", "nosuch").stdout
    assert "nothing is known" in run(trained, "session", "--session", "nosuch").stdout
    assert "nothing to show" in run(trained, "promoted", "--at", "2030-01-01").stdout
    hide = [word for row in range(3, 40, 4) for word in ("--hide", f"p{row:03d}")]
    assert "'Toys' has nothing to show; this is Goods" in run(trained, "category", "Toys", *hide).stdout


def test_rules_are_kept_counted_and_refused_like_those_of_recommend(trained: Path) -> None:
    done = run(trained, "also_bought", "p000", "-k", "4", "--filter", 'category != "Toys"', "--cap", "category:1")
    assert done.exit_code == 0, done.output
    assert "10 filtered" in done.stdout
    assert "capped" in done.stdout
    answer = json.loads(run(trained, "basket", "p000", "p001", "--pin", "p009@2", "--json").stdout)
    assert answer["items"][1]["product_id"] == "p009"
    assert answer["rules"]["pinned"] == 1
    only = ("--filter", 'product_id == "p000"')
    said = " ".join(run(trained, "also_bought", "p000", *only).stdout.split())
    assert "note: nothing to show" in said
    assert "note: nothing was found for this list that may be shown" in said


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["also_bought", "p000", "--filter", "price << 5"], "filter=price << 5 does not parse at column 8"),
        (["also_bought", "p000", "--pin", "p000@1"], "this list never shows the product"),
        (["buy_again", "c001", "--exclude", "bought"], "this list holds nothing but what the customer bought"),
        (["promoted", "--boost", "price"], "write boost=EXPRESSION*FACTOR"),
        (["segment", "c001", "--diversity", "2"], "--diversity"),
        (["segment", "c001", "--half-life-days", "0", "--freshness", "1"], "half_life_days is 0"),
    ],
)
def test_rules_that_cannot_be_kept_end_with_two(trained: Path, args: list[str], message: str) -> None:
    done = run(trained, *args)
    assert done.exit_code == 2
    assert message in done.stderr
