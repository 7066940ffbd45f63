from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shoploom.errors import NotFoundError, NotReadyError, WorkspaceError
from shoploom.registry import CHAMPION, MANIFEST, Registry

Writer = Callable[[Path], Mapping[str, Any]]


def writer(text: str = "weights") -> Writer:
    def write(folder: Path) -> Mapping[str, Any]:
        (folder / "shared").mkdir()
        (folder / "shared" / "model.safetensors").write_text(text)
        (folder / "report.json").write_text("{}")
        return {"data_fingerprint": "abc", "tasks": {"churn": {"served_by": "logistic"}}}

    return write


def publish_one(models: Path, text: str) -> None:
    Registry(models).publish(writer(text))


def publish_forever(models: Path) -> None:
    def write(folder: Path) -> Mapping[str, Any]:
        (folder / "half.txt").write_text("half")
        time.sleep(60)
        return {}

    Registry(models).publish(write)


def unfinished(models: Path) -> list[Path]:
    return list(models.glob(".unfinished-*"))


def test_names_count_up_and_manifest_says_what_was_written(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    assert registry.versions() == []
    assert registry.publish(writer()) == "v0001"
    assert registry.publish(writer()) == "v0002"
    manifest = registry.manifest("v0002")
    assert manifest["data_fingerprint"] == "abc"
    assert manifest["version"] == "v0002"
    assert sorted(manifest["files"]) == ["report.json", "shared/model.safetensors"]
    # sha256 of "{}", as any other tool computes it
    assert manifest["files"]["report.json"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert [version.name for version in registry.versions()] == ["v0001", "v0002"]
    assert registry.verify("v0001") == 2


def test_publishing_does_not_promote(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.publish(writer())
    assert registry.champion() is None
    assert not registry.versions()[0].is_champion


def test_promote_and_roll_back_walk_through_the_past(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    names = [registry.publish(writer(str(i))) for i in range(3)]
    for name in names:
        registry.promote(name)
    assert registry.promote("v0003") == "v0003"
    assert registry.champion() == "v0003"
    assert registry.rollback() == "v0002"
    assert registry.rollback() == "v0001"
    assert registry.champion() == "v0001"
    with pytest.raises(NotReadyError, match="nothing to roll back to: v0001 serves"):
        registry.rollback()
    assert [(entry["action"], entry["to"]) for entry in registry.history()] == [
        ("promote", "v0001"),
        ("promote", "v0002"),
        ("promote", "v0003"),
        ("rollback", "v0002"),
        ("rollback", "v0001"),
    ]


def test_an_unknown_version_names_the_nearest(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.publish(writer())
    with pytest.raises(NotFoundError, match=r"'v0002' is unknown; known: v0001\. Did you mean 'v0001'"):
        registry.promote("v0002")
    with pytest.raises(NotFoundError, match="unknown"):
        registry.folder("../outside")


def test_verify_names_what_is_missing_changed_or_added(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    folder = registry.folder(registry.publish(writer()))
    (folder / "report.json").unlink()
    (folder / "shared" / "model.safetensors").chmod(0o644)
    (folder / "shared" / "model.safetensors").write_text("other")
    (folder / "new.txt").write_text("x")
    with pytest.raises(WorkspaceError) as caught:
        registry.verify("v0001")
    for words in (
        "report.json is missing",
        "shared/model.safetensors was changed",
        "new.txt is not in the manifest",
        "backup",
    ):
        assert words in str(caught.value)
    with pytest.raises(WorkspaceError, match="damaged"):
        registry.promote("v0001")
    assert registry.champion() is None


def test_a_damaged_manifest_or_alias_is_explained(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    folder = registry.folder(registry.publish(writer()))
    registry.promote("v0001")
    (tmp_path / CHAMPION).write_text("[1]")
    with pytest.raises(WorkspaceError, match="holds a list, not an object; move it away"):
        registry.champion()
    (tmp_path / CHAMPION).write_text("{}")
    with pytest.raises(WorkspaceError, match="lacks 'champion'"):
        registry.champion()
    (folder / MANIFEST).write_text("{half")
    with pytest.raises(WorkspaceError, match=r"manifest.json cannot be read .* train again"):
        registry.manifest("v0001")


def test_a_version_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    path = registry.folder(registry.publish(writer())) / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(WorkspaceError, match="has format 99"):
        registry.manifest("v0001")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def full(folder: Path) -> Mapping[str, Any]:
        (folder / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken(folder: Path) -> Mapping[str, Any]:
        (folder / "half.txt").write_text("half")
        raise RuntimeError("our own bug")

    registry = Registry(tmp_path)
    with pytest.raises(WorkspaceError, match="is full; free some space"):
        registry.publish(full)
    with pytest.raises(RuntimeError, match="our own bug"):
        registry.publish(broken)
    assert registry.versions() == []
    assert unfinished(tmp_path) == []


def test_files_that_run_code_are_never_published(tmp_path: Path) -> None:
    def write(folder: Path) -> Mapping[str, Any]:
        (folder / "model.pkl").write_bytes(b"")
        return {}

    with pytest.raises(AssertionError, match=r"model\.pkl may run code"):
        Registry(tmp_path).publish(write)
    assert unfinished(tmp_path) == []


def test_concurrent_publishers_get_different_names(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=publish_one, args=(tmp_path, str(i))) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    registry = Registry(tmp_path)
    assert [version.name for version in registry.versions()] == ["v0001", "v0002", "v0003", "v0004"]
    texts = {(registry.folder(version.name) / "shared" / "model.safetensors").read_text()
             for version in registry.versions()}  # fmt: skip
    assert texts == {"0", "1", "2", "3"}


def test_a_killed_publish_is_invisible_and_swept_up_later_but_a_living_one_is_left_alone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=publish_forever, args=(tmp_path,))
    worker.start()
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".unfinished-*/half.txt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    registry = Registry(tmp_path)
    assert registry.versions() == []
    registry.publish(writer())
    assert len(unfinished(tmp_path)) == 1, "the folder of a living publisher was removed"
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(30)
    registry.publish(writer())
    assert unfinished(tmp_path) == []
    assert [version.name for version in registry.versions()] == ["v0001", "v0002"]
