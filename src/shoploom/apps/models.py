"""Model versions: which exist, which serves, and moving between them."""

from __future__ import annotations

from typing import Any

from shoploom.inference.engine import Engine


def versions(engine: Engine) -> dict[str, Any]:
    """All published versions, newest first, with what serves each task."""
    loaded = engine.version
    return {
        "model_version": loaded,
        "champion": engine.registry.champion(),
        "versions": [
            {
                "version": one.name,
                "created_at": one.created_at,
                "is_champion": one.is_champion,
                "is_loaded": one.name == loaded,
                "clock_end": one.manifest.get("clock_end"),
                "size": (one.manifest.get("config") or {}).get("train", {}).get("size"),
                "served_by": {name: task.get("served_by") for name, task in (one.manifest.get("tasks") or {}).items()},
            }
            for one in reversed(engine.registry.versions())
        ],
    }


def promote(engine: Engine, version: str) -> dict[str, Any]:
    """Make a version the champion and serve it."""
    return {"model_version": engine.promote(version).version, "champion": engine.registry.champion()}


def rollback(engine: Engine) -> dict[str, Any]:
    """Serve the champion before this one."""
    return {"model_version": engine.rollback().version, "champion": engine.registry.champion()}
