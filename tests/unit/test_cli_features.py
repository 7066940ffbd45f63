"""``shoploom features`` from the workspace to the report."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from shoploom.cli import app
from tests.services import make_workspace

RUNNER = CliRunner()


def test_features_are_rated_printed_and_reported(tmp_path: Path) -> None:
    make_workspace(tmp_path / "shop")
    done = RUNNER.invoke(app, ["features", "--task", "churn", "--runs", "19", "-w", str(tmp_path / "shop"), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["task"] == "churn"
    assert found["leaks"] == []
    assert {Path(one).name for one in found["wrote"]} == {"features-churn.html", "features-churn.json"}
    assert all(Path(one).is_file() for one in found["wrote"])
    assert found["next"].startswith("shoploom train")


def test_an_unknown_task_ends_with_2(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["features", "--task", "chrun", "-w", str(tmp_path)])
    assert done.exit_code == 2
    assert "Did you mean 'churn'" in done.stderr
