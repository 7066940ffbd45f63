"""``shoploom tune`` on a tiny shop, from the workspace to the report, and once more to go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shoploom.cli import app
from tests.services import make_workspace

pytestmark = pytest.mark.integration
SEARCH = ("--search", "learning_rate", "--search", "dropout")


def test_a_search_runs_is_reported_and_goes_on(tmp_path: Path) -> None:
    make_workspace(tmp_path / "shop")

    def tune(trials: int) -> dict[str, object]:
        words = ["tune", "size=tiny", 'tasks=["churn","spend"]', "--trials", str(trials), *SEARCH]
        done = CliRunner().invoke(app, [*words, "-w", str(tmp_path / "shop"), "--json"])
        assert done.exit_code == 0, done.output
        found: dict[str, object] = json.loads(done.stdout)
        return found

    first, second = tune(1), tune(3)
    assert first["score"] == 1.0
    assert second["tasks"] == ["churn", "spend"]
    trials = second["trials"]
    assert isinstance(trials, list)
    assert [one["number"] for one in trials] == [0, 1, 2]
    assert trials[0] == first["trials"][0]  # type: ignore[index]
    assert trials[0]["settings"] == {"learning_rate": 0.003, "dropout": 0.1}
    assert all(len(one["rounds"]) >= 2 for one in trials)
    assert str(second["next"]).startswith("shoploom train learning_rate=")
    assert (tmp_path / "shop" / "reports" / "tune.html").is_file()
