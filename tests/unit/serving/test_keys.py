from __future__ import annotations

import os
from pathlib import Path

import pytest

from shoploom.data.workspace import Workspace
from shoploom.errors import UsageError, WorkspaceError
from shoploom.serving import keys
from shoploom.serving.keys import FILE, Keys, create_key
from shoploom.serving.server import check_binding


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.init(tmp_path / "shop")


def test_only_a_hash_is_stored_and_only_for_the_owner(workspace: Workspace) -> None:
    key = create_key(workspace)
    path = workspace.path / FILE
    assert key not in path.read_text()
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"


def test_each_of_several_keys_opens_and_others_do_not(workspace: Workspace) -> None:
    first, second = create_key(workspace, name="a"), create_key(workspace, name="b")
    found = Keys(workspace.path / FILE)
    assert found.required
    assert found.find(first) != found.find(second)
    assert found.find(first + "x") is None
    assert found.find("") is None


def test_a_cookie_opens_until_it_expires_or_is_changed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Keys(workspace.path / FILE)
    key = create_key(workspace)
    cookie = found.cookie(key)
    assert cookie is not None
    assert found.accepts_cookie(cookie)
    expires, rest = cookie.split(".", 1)
    assert not found.accepts_cookie(f"{int(expires) + 1}.{rest}")
    assert not found.accepts_cookie("")
    assert not found.accepts_cookie("x.y.z")
    monkeypatch.setattr(keys.time, "time", lambda: float(expires) + 1)
    assert not found.accepts_cookie(cookie)


def test_no_cookie_for_a_wrong_key(workspace: Workspace) -> None:
    create_key(workspace)
    assert Keys(workspace.path / FILE).cookie("shoploom_wrong") is None


def test_damaged_keys_lock_everybody_out_with_advice(workspace: Workspace) -> None:
    (workspace.path / FILE).write_text("{}")
    with pytest.raises(WorkspaceError, match="--create-key"):
        _ = Keys(workspace.path / FILE).required


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "shop.example"])
def test_an_open_address_is_refused_without_a_key(workspace: Workspace, host: str) -> None:
    with pytest.raises(UsageError, match="--create-key"):
        check_binding(workspace, host)
    create_key(workspace)
    check_binding(workspace, host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_key(workspace: Workspace, host: str) -> None:
    check_binding(workspace, host)
