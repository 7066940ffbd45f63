"""The main job on a synthetic shop with other column names, by the command line alone; seconds, so it always runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from shoploom import Shop
from shoploom.cli import app
from shoploom.data.workspace import Workspace
from shoploom.serving.app import create_app
from shoploom.tasks import TASKS
from tests.services import client_of
from tests.shops import make_tables

CLOCK = (
    "[shop]\nname = 'Tiny'\ncurrency = 'EUR'\ntimezone = 'Europe/London'\n"
    "[clock]\nhorizon_days = 28\nactive_days = 60\ndemand_products = 20\ndemand_days = 91\n"
)


def run(*args: object, status: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, args), "--json"])
    assert done.exit_code == status, done.output
    content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return content


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained workspace."""
    folder = tmp_path_factory.mktemp("tiny")
    tables = make_tables()
    lines = tables.events.select(
        pl.col("time").alias("Datum"),
        pl.col("customer_id").alias("Kunde"),
        pl.col("order_id").alias("Beleg"),
        pl.col("product_id").alias("Artikel"),
        pl.col("quantity").alias("Menge"),
        pl.col("price").alias("Preis"),
    )
    lines.write_csv(folder / "lines.csv")
    tables.products.drop("price", "created_at", "image", "description").write_parquet(folder / "products.parquet")
    tables.customers.write_parquet(folder / "customers.parquet")
    tables.promotions.write_parquet(folder / "promotions.parquet")
    shop = folder / "shop"
    run("init", shop)
    (shop / "shoploom.toml").write_text(CLOCK)
    for table in ("products", "customers", "promotions"):
        run("import", folder / f"{table}.parquet", "--table", table, "-w", shop)
    names = {"time": "Datum", "customer_id": "Kunde", "order_id": "Beleg", "product_id": "Artikel",
             "quantity": "Menge", "price": "Preis"}  # fmt: skip
    mapping = [word for ours, yours in names.items() for word in ("--map", f"{ours}={yours}")]
    first = run("import", folder / "lines.csv", "--table", "events", *mapping, "-w", shop)
    assert first["tables"]["events"]["added"] == lines.height
    again = run("import", folder / "lines.csv", "--table", "events", "-w", shop)
    assert again["tables"]["events"]["added"] == 0
    assert run("check", "-w", shop)["worst"] != "error"
    trained = run("train", "size=tiny", "epochs=1", "-w", shop)
    assert trained["champion"] == trained["version"] == "v0001"
    return shop


def test_every_task_is_measured_or_says_why_not(workspace: Path) -> None:
    tasks = run("evaluate", "-w", workspace)["tasks"]
    assert set(tasks) == set(TASKS)
    on = {name: task for name, task in tasks.items() if not task["missing"]}
    assert len(on) >= 6
    for name, task in on.items():
        assert task["shared"] is not None, name
        assert task["rival"] is not None, name
        assert task["difference_low"] <= task["difference"] <= task["difference_high"], name


def test_recommendations_are_products_of_the_shop(workspace: Path) -> None:
    found = run("recommend", "c001", "-k", 5, "-w", workspace)
    assert len(found["items"]) == 5
    assert not found["cold_start"]
    assert run("recommend", "nobody", "-k", 5, "-w", workspace)["cold_start"]


@pytest.mark.parametrize("task", list(TASKS))
def test_batch_answers_for_every_task(workspace: Path, task: str, tmp_path: Path) -> None:
    if run("evaluate", "-w", workspace)["tasks"][task]["missing"]:
        run("predict", task, "-w", workspace, status=1)
        return
    out = tmp_path / "answers.parquet"
    done = run("predict", task, "--out", out, "-w", workspace)
    frame = pl.read_parquet(out)
    assert frame.height == done["rows"]
    assert frame.columns[0] in ("customer_id", "product_id")
    assert frame.null_count().sum_horizontal().item() == 0
    if "probability" in frame.columns:
        assert frame["probability"].is_between(0, 1).all()
    if "attribute" in frame.columns and frame.height:
        sums = frame.group_by(frame.columns[0], "attribute").agg(pl.col("probability").sum())["probability"]
        assert sums.is_close(1.0, abs_tol=1e-5).all()


def test_batch_answers_for_some_customers_come_in_their_order(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("c007\nc001\n")
    found = run("predict", "spend", "--customers", tmp_path / "ids.txt", "-w", workspace)
    assert [row["customer_id"] for row in found["answers"]] == ["c007", "c001"]
    (tmp_path / "ids.txt").write_text("c007\nc9999\n")
    asked = ("predict", "spend", "--customers", tmp_path / "ids.txt", "-w", workspace)
    assert run(*asked)["unknown"] == ["c9999"]
    assert "'c9999'" in run(*asked, "--strict", status=1)["error"]


def test_a_trained_version_knows_new_products_and_customers_from_the_next_answer_on(
    workspace: Path, tmp_path: Path
) -> None:
    shutil.copytree(workspace, tmp_path / "shop")
    opened = Workspace.open(tmp_path / "shop")
    with client_of(create_app(opened)) as client:

        def products(path: str, **params: Any) -> list[str]:
            return [item["product_id"] for item in client.get(path, **params)["items"]]

        body = {"title": "blue toys item", "brand": "brand 1", "attributes": {"colour": "blue"}}
        assert client.ask("PUT", "/v1/products/kite", json=body).status_code == 200
        assert "kite" in products("/v1/recommend", customer_id="c003", k=10, freshness=30)
        assert "kite" in products("/v1/lists/new_arrivals", customer_id="c003", k=40)
        twin = client.get("/v1/products/p003")
        said = {name: twin[name] for name in ("title", "category", "brand", "attributes")}
        client.ask("PUT", "/v1/products/twin", json=said)
        assert "p003" in products("/v1/products/twin/similar", k=5), "by what it says, for it has no sales"
        strangers = products("/v1/recommend", customer_id="newcomer", k=6)
        event = {"type": "purchase", "product_id": "p003", "customer_id": "newcomer", "price": 3.0}
        assert client.ask("POST", "/v1/events", json=event).status_code == 200
        personal = products("/v1/recommend", customer_id="newcomer", k=6)
        assert personal != strangers
        assert "p003" in personal
    opened.close()


def test_a_second_training_with_the_same_seed_gives_the_same_numbers(workspace: Path) -> None:
    again = run("train", "size=tiny", "epochs=1", "--fresh", "-w", workspace)
    assert again["version"] != "v0001"
    first = run("evaluate", "v0001", "-w", workspace)["tasks"]
    assert again["tasks"] == first
    assert run("info", "-w", workspace)["champion"] == "v0001", "a later version does not serve by itself"


def test_the_facade_answers_like_the_command_line(workspace: Path) -> None:
    shop = Shop.open(workspace)
    by_command = run("recommend", "c001", "-k", 5, "-w", workspace)["items"]
    assert [item["product_id"] for item in shop.recommend("c001", k=5)] == [item["product_id"] for item in by_command]
    assert shop.registry.verify("v0001") > 3
