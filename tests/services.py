"""A tiny published shop and a client for its service: real members, fitted in a second, through the real registry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from shoploom.config import Config, ShopConfig
from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.workspace import Workspace
from shoploom.ensemble.load import member_folder
from shoploom.ensemble.members import MEMBERS
from shoploom.registry import Registry
from shoploom.tasks import TASKS
from tests.shops import make_tables

SERVED_BY = {
    "next_basket": "decayed_frequency",
    "new_for_you": "recent_popularity",
    "churn": "few_trips",
    "spend": "usual_spend",
    "profile": "majority",
    "price": "category_back_off",
    "demand": "mean_of_8",
}


def make_workspace(path: Path) -> Workspace:
    """The synthetic shop, imported."""
    tables = make_tables()
    shop = ShopConfig(name="Corner shop", currency="EUR", timezone="Europe/London")
    workspace = Workspace.init(path, Config(shop=shop, cleaning=tables.cleaning, clock=tables.clock))
    for name in schema.TABLES:
        workspace.append(name, getattr(tables, name), source="test")
    return workspace


def publish(workspace: Workspace, *, promote: bool = True, **changed: str) -> str:
    """Fit one cheap member per task and publish them; ``changed`` names other members for some tasks."""
    tables = workspace.load_tables()
    shop = ShopArrays.build(tables)
    chosen = SERVED_BY | changed

    def write(folder: Path) -> dict[str, Any]:
        tasks: dict[str, Any] = {}
        for name, member_name in chosen.items():
            task = TASKS.load(name)()
            member = MEMBERS.load(member_name)()
            member.fit(shop, task)
            home = member_folder(folder, name, member_name)
            home.mkdir(parents=True)
            member.save(home)
            metrics = {member_name: {task.metric: [0.5, 0.4, 0.6]}, "shared": {task.metric: [0.45, 0.35, 0.55]}}
            tasks[name] = {"served_by": member_name, "reason": "fitted for a test", "metrics": metrics}
        tasks["category"] = {"missing": "too few labelled products"}
        end = tables.end.isoformat()
        return {"tasks": tasks, "clock_end": end, "data_fingerprint": workspace.fingerprint(), "config": {}, "seed": 0}

    registry = Registry(workspace.models_dir)
    version = registry.publish(write)
    if promote:
        registry.promote(version)
    return version


class Client:
    """Asks an application without a network, one request after the other."""

    def __init__(self, app: FastAPI, runner: asyncio.Runner, **headers: str) -> None:
        self.app = app
        self._runner = runner
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 4321))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""
        return self._runner.run(self._client.request(method, path, **options))

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def client_of(app: FastAPI, **headers: str) -> Iterator[Client]:
    """A client whose event loop ends with the block."""
    with asyncio.Runner() as runner:
        yield Client(app, runner, **headers)
