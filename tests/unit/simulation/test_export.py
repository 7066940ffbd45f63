"""Events in the form of any shop's, files, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from shoploom import Shop
from shoploom.cli import app
from shoploom.data import doubts, schema
from shoploom.data.workspace import Workspace
from shoploom.errors import UsageError, WorkspaceError
from shoploom.simulation import Chunk, Settings, Simulation, World, event_stream
from shoploom.simulation.export import export
from tests.services import make_workspace

RUNNER = CliRunner()
WORLD = World.synthetic(customers=60, products=120, categories=5)
NEXT = {"click": "impression", "add_to_cart": "click", "purchase": "add_to_cart", "refund": "purchase"}


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(WORLD, Settings(events=40_000, days=20))


@pytest.fixture(scope="module")
def frames(simulation: Simulation) -> list[pl.DataFrame]:
    return list(event_stream(simulation, simulation.chunks(5_000)))


def test_events_are_canonical_and_nothing_is_in_doubt(frames: list[pl.DataFrame]) -> None:
    assert len(frames) > 2
    events = pl.concat(frames)
    assert dict(events.schema) == {**schema.EVENTS}
    kept, doubtful = doubts.split("events", events, source="test")
    assert len(doubtful) == 0
    assert kept[schema.EVENT_ID].n_unique() == len(events)


def test_events_come_in_the_order_of_time_over_all_frames(frames: list[pl.DataFrame]) -> None:
    assert pl.concat(frames)[schema.TIME].is_sorted()


def test_events_do_not_depend_on_the_chunks(simulation: Simulation, frames: list[pl.DataFrame]) -> None:
    whole = pl.concat(list(event_stream(simulation, simulation.chunks(10**9))))
    assert whole.equals(pl.concat(frames))


def test_events_say_what_the_chunks_say(simulation: Simulation, frames: list[pl.DataFrame]) -> None:
    chunk = Chunk.join(list(simulation.chunks()))
    events = pl.concat(frames)
    counts = dict(events[schema.TYPE].value_counts().iter_rows())
    assert counts == {
        "impression": len(chunk),
        "search": (chunk.requests.query >= 0).sum(),
        "click": chunk.click.sum(),
        "add_to_cart": chunk.cart.sum(),
        "purchase": chunk.purchase.sum(),
        "refund": chunk.refund.sum(),
    }
    bought = events.filter(pl.col(schema.TYPE) == "purchase").sort(schema.EVENT_ID)
    assert bought[schema.QUANTITY].sum() == chunk.quantity.sum()
    total = (chunk.price * chunk.quantity).sum()
    assert bought[schema.AMOUNT].sum() == pytest.approx(total)
    # price and discount add up to the regular price unless the price was raised
    shelf = (bought[schema.PRICE] + bought[schema.DISCOUNT]).sum()
    assert shelf == pytest.approx(np.maximum(chunk.price, chunk.regular_price)[chunk.purchase].sum())
    delayed = bought.group_by(schema.ORDER).len()["len"]
    assert len(delayed) == len(np.unique(chunk.session[chunk.purchase & ~chunk.delayed])) + chunk.delayed.sum()


def test_every_step_has_the_one_before_it(frames: list[pl.DataFrame]) -> None:
    events = pl.concat(frames)
    place = [schema.REQUEST, schema.POSITION, schema.PRODUCT, schema.CUSTOMER, schema.SESSION]
    for later, earlier in NEXT.items():
        two, one = (events.filter(pl.col(schema.TYPE) == kind) for kind in (later, earlier))
        found = two.join(one.select(*place, before=pl.col(schema.TIME)), on=place, how="left")
        assert len(two) == len(found)
        assert (found["before"] < found[schema.TIME]).all()
    impressions = events.filter(pl.col(schema.TYPE) == "impression")
    assert impressions[schema.PROPENSITY].null_count() == 0
    assert events.filter(pl.col(schema.TYPE) == "search")[schema.QUERY].null_count() == 0


def test_files_hold_the_stream_its_truth_and_its_parameters(
    simulation: Simulation, frames: list[pl.DataFrame], tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    done = export(simulation, tmp_path / "out", progress=lambda *one: seen.append(one), segment=5_000)
    events, truth = (pl.read_parquet(tmp_path / "out" / name / "*.parquet") for name in ("events", "truth"))
    assert events.sort(schema.EVENT_ID).equals(pl.concat(frames).sort(schema.EVENT_ID))
    assert done.total == len(events) == seen[-1][0]
    impressions = events.filter(pl.col(schema.TYPE) == "impression")
    joined = impressions.join(truth, on=schema.EVENT_ID)
    assert len(joined) == len(truth) == done.impressions == len(impressions)
    chunk = Chunk.join(list(simulation.chunks()))
    assert truth["p_click_conversion"].to_numpy() == pytest.approx(chunk.p_click_conversion, rel=1e-5)
    about = json.loads((tmp_path / "out" / "truth.json").read_text())
    assert about["settings"]["events"] == 40_000
    assert about["events"] == done.events
    assert len(about["world"]["shelf"]) == len(WORLD.shelves)
    # the formula of the page gives the probability back from the files alone
    world, one = load_file(tmp_path / "out" / "world.safetensors"), about["truth"]
    row = int(np.flatnonzero(chunk.price < chunk.regular_price)[0])
    customer, item, shelf = chunk.customer[row], chunk.item[row], chunk.shelf[row]
    term = (
        float(world["customer_factors"][customer] @ world["item_factors"][item]) * one["weights"]["click"]["affinity"]
    )
    term += world["appeal"][item] * one["weights"]["click"]["appeal"] + one["intercepts"]["click"]
    bend = (chunk.price[row] / chunk.regular_price[row]) ** (about["world"]["shelf"][shelf]["elasticity"] / 3)
    assert chunk.p_relevant[row] == pytest.approx(one["ceiling"] / (1 + np.exp(-term)) * bend, rel=1e-5)


def test_a_folder_with_files_is_refused(simulation: Simulation, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty; name a new or empty directory"):
        export(simulation, tmp_path)
    with pytest.raises(UsageError, match="nowhere to write to"):
        export(simulation)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_an_export_that_did_not_end_has_no_parameters(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise WorkspaceError("the disk is full")

    with pytest.raises(WorkspaceError, match="the disk is full"):
        export(simulation, tmp_path / "out", progress=full)
    assert not (tmp_path / "out" / "truth.json").exists()


def test_a_workspace_gets_the_events_once(simulation: Simulation, tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "shop")
    done = export(simulation, into=workspace)
    counts = workspace.counts()
    assert counts == {"events": done.total, "products": 120, "customers": 60, "promotions": 0, "quarantine": 0}
    export(simulation, into=workspace)
    assert workspace.counts() == counts
    shop = workspace.load_tables()
    assert shop.events["is_purchase"].sum() == done.events["purchase"]
    workspace.close()


def run(*args: object) -> tuple[int, str, str]:
    done = RUNNER.invoke(app, ["simulate", *map(str, args)])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_simulates_a_workspace(tmp_path: Path) -> None:
    make_workspace(tmp_path / "shop").close()
    out = tmp_path / "out"
    status, text, _ = run("-w", tmp_path / "shop", "--out", out, "--events", "5e3", "--drift", "taste@30=0.5", "--json")
    assert status == 0
    found = json.loads(text)
    assert found["command"] == "simulate"
    assert found["total"] == pl.scan_parquet(out / "events" / "*.parquet").select(pl.len()).collect().item()
    assert json.loads((out / "truth.json").read_text())["settings"]["drift"][0]["kind"] == "taste"
    known = set(pl.read_parquet(tmp_path / "shop" / "store" / "products.parquet")[schema.PRODUCT])
    products = pl.read_parquet(out / "events" / "*.parquet")[schema.PRODUCT].drop_nulls()
    assert set(products) <= known


def test_the_command_needs_no_shop(tmp_path: Path) -> None:
    shop = Shop.create(tmp_path / "shop")
    shop.workspace.close()
    status, text, _ = run(
        "--synthetic", "--into", tmp_path / "shop", "--events", "2000", "click_model=cascade", "price_levels=(0.8, 1)",
        "price_weights=(0.5, 0.5)", "page_size=5",
    )  # fmt: skip
    assert status == 0
    assert "events in" in text
    assert "shoploom check -w" in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "add --out DIR"),
        (["--out", "x", "--events", "1"], "events is 1; wanted 100"),
        (["--out", "x", "--drift", "tast@3=1"], "Did you mean 'taste'"),
        (["--out", "x", "click_modell=cascade"], "Did you mean 'click_model'"),
        (["--out", "x", "click_model"], "write KEY=VALUE"),
        (["--out", "x", "click_rate=often"], "setting click_rate is 'often'; wanted a number like 0.12"),
        (["--out", "x", "page_size=2.5"], "wanted a number like 10"),
        (["--out", "x", "go_on=(0.5,)"], "wanted 2 numbers"),
        (["--out", "x", "seed=3"], "write --seed 3"),
    ],
)
def test_wrong_usage_says_what_to_do(
    args: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, errors = run("--synthetic", *args)
    assert status == 2
    assert words in errors
    assert not (tmp_path / "x").exists()


def test_without_a_workspace_the_command_names_init(tmp_path: Path) -> None:
    status, _, errors = run("-w", tmp_path / "none", "--out", tmp_path / "out")
    assert status == 1
    assert "shoploom init" in errors
