"""A published shop that tests copy: fitting it once takes longer than copying it often."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoploom.data.workspace import Workspace
from tests.services import make_workspace, publish


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny shop with one cheap member per task; tests copy it and never write to it."""
    path = tmp_path_factory.mktemp("template") / "shop"
    made = make_workspace(path)
    publish(made)
    made.close()
    return path


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy that a test may write to."""
    shutil.copytree(template, tmp_path / "shop")
    opened = Workspace.open(tmp_path / "shop")
    yield opened
    opened.close()
