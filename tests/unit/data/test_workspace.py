from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoploom.config import Config, ShopConfig
from shoploom.data import atomic, migrations, schema
from shoploom.data.hidden import FILE, Hidden
from shoploom.data.workspace import Workspace, next_midnight
from shoploom.errors import DataError, UsageError, WorkspaceError

START = datetime(2024, 5, 1, 10)


def orders(count: int = 6, first: int = 0) -> pl.DataFrame:
    rows = range(first, first + count)
    return pl.DataFrame(
        {
            "time": [START + timedelta(hours=row) for row in rows],
            "customer_id": [str(row % 3 + 1) for row in rows],
            "order_id": [str(row) for row in rows],
            "type": ["purchase"] * count,
            "product_id": [f"p{row % 4}" for row in rows],
            "quantity": [1.0] * count,
            "amount": [2.0] * count,
        }
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.init(tmp_path / "shop")


def test_a_second_import_adds_only_what_is_new(workspace):
    assert workspace.append("events", orders(6), source="test").added == 6
    again = workspace.append("events", orders(8), source="test")
    assert (again.added, again.repeated) == (2, 6)
    assert len(workspace.read("events")) == 8


def test_equal_lines_within_one_import_are_kept_and_found_again(workspace):
    twice = pl.concat([orders(2), orders(2)])
    assert workspace.append("events", twice, source="test").added == 4
    assert workspace.append("events", twice, source="test").added == 0


def test_ids_are_unique_across_imports_and_the_live_log(workspace):
    event = {"event_id": "e1", "type": "view", "product_id": "p1", "time": "2024-05-01T10:00:00"}
    workspace.event_log.append([event])
    bulk = orders(2).with_columns(event_id=pl.Series(["e1", "e2"]))
    assert workspace.append("events", bulk, source="test").added == 1
    assert workspace.event_log.append([event | {"event_id": "e2"}]).repeated == 1
    workspace.event_log.seal()
    assert workspace.append("events", bulk, source="test").added == 0
    assert workspace.read("events")["event_id"].sort().to_list() == ["e1", "e2"]


def test_the_latest_row_of_a_product_wins_column_by_column(workspace):
    workspace.append("products", pl.DataFrame({"product_id": ["a"], "title": ["Old"], "brand": ["B"]}), source="t")
    done = workspace.append("products", pl.DataFrame({"product_id": ["a", "b"], "title": ["New", "Two"]}), source="t")
    assert (done.added, done.updated, done.repeated) == (1, 1, 0)
    assert workspace.read("products").select("title", "brand").rows() == [("New", "B"), ("Two", None)]


def test_derived_products_fill_gaps_and_never_overwrite(workspace):
    workspace.append("products", pl.DataFrame({"product_id": ["a"], "title": ["Catalogue"]}), source="t")
    derived = pl.DataFrame({"product_id": ["a", "b"], "title": ["Line", "Line b"], "brand": ["X", None]})
    workspace.append("products", derived, source="t", fill_only=True)
    assert workspace.read("products").select("title", "brand").rows() == [("Catalogue", "X"), ("Line b", None)]


def test_attributes_are_merged_name_by_name(workspace):
    def put(text: str, **options: bool) -> str:
        frame = pl.DataFrame({"customer_id": ["1"], "attributes": [text]})
        workspace.append("customers", frame, source="t", **options)
        return workspace.read("customers")["attributes"].item()

    put('{"age":"30"}')
    assert put('{"age":"40","country":"UK"}', fill_only=True) == '{"age":"30","country":"UK"}'
    assert put('{"age":"41","country":null}') == '{"age":"41","country":"UK"}'


def test_promotions_without_a_store_have_one_key(workspace):
    plan = pl.DataFrame({"product_id": ["a"], "start": [START], "end": [START + timedelta(days=7)], "share": [0.5]})
    workspace.append("promotions", plan, source="t")
    assert workspace.append("promotions", plan.with_columns(share=pl.lit(0.7)), source="t").updated == 1
    assert workspace.read("promotions")["share"].to_list() == [0.7]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("product_id", None, "product_id is missing"),
        ("type", "teleport", "type is none of"),
        ("quantity", -1.0, "quantity is negative"),
        ("price", -2.0, "price is negative"),
        ("amount", float("nan"), "amount is negative or no number"),
        ("time", datetime(1970, 1, 1), "time is before 1990"),
    ],
)
def test_rows_in_doubt_go_to_quarantine_with_the_reason(workspace, column, value, reason):
    frame = schema.conform("events", orders(4))
    first = pl.int_range(pl.len()) == 0
    frame = frame.with_columns(
        pl.when(first).then(pl.lit(value, dtype=frame.schema[column])).otherwise(pl.col(column)).alias(column)
    )
    done = workspace.append("events", frame, source="orders.csv")
    assert (done.added, done.quarantined) == (3, 1)
    held = workspace.read_quarantine("events")
    assert held["reason"][0].startswith(reason)
    assert held["source"][0] == "orders.csv"
    assert json.loads(held["found"][0])["order_id"] == "0"
    assert workspace.append("events", frame, source="orders.csv").quarantined == 0


def test_strange_ids_survive(workspace):
    ids = ["007", "a,b", 'say "hi"', "🍵 tea", "  spaced  ", "x" * 300]
    frame = orders(6).with_columns(product_id=pl.Series(ids))
    workspace.append("events", frame, source="t")
    assert workspace.read("events")["product_id"].to_list() == ids


def test_the_fingerprint_tells_data_apart(workspace, tmp_path):
    other = Workspace.init(tmp_path / "other")
    for one in (workspace, other):
        one.append("events", orders(), source="t")
    assert workspace.fingerprint() == other.fingerprint()
    other.append("events", orders(1, first=50), source="t")
    assert workspace.fingerprint() != other.fingerprint()
    before = workspace.fingerprint()
    workspace.event_log.append([{"type": "view", "product_id": "p1"}])
    assert workspace.fingerprint() != before


def test_tables_end_at_the_next_midnight_of_the_shops_clock(tmp_path):
    shop = Workspace.init(tmp_path / "shop", Config(shop=ShopConfig(timezone="America/New_York")))
    shop.append("events", orders(), source="t")
    loaded = shop.load_tables()
    assert loaded.end == datetime(2024, 5, 2, 4)
    assert loaded.events["time"].is_sorted()
    assert loaded.events["is_purchase"].all()


def test_an_end_hides_all_that_came_later(workspace):
    workspace.append("events", orders(), source="t")
    loaded = workspace.load_tables(START + timedelta(hours=3))
    assert len(loaded.events) == 3
    with pytest.raises(DataError, match="holds no events before"):
        workspace.load_tables(START)


def test_midnight_itself_is_followed_by_the_next_one():
    assert next_midnight(datetime(2024, 3, 30), "UTC") == datetime(2024, 3, 31)
    assert next_midnight(datetime(2024, 3, 31, 0, 30), "Europe/Berlin") == datetime(2024, 3, 31, 22)


def test_opening_nothing_names_the_command(tmp_path):
    with pytest.raises(WorkspaceError, match="does not exist; make one with: shoploom init"):
        Workspace.open(tmp_path / "none")
    with pytest.raises(WorkspaceError, match="is no Shoploom workspace"):
        Workspace.open(tmp_path)


def test_a_workspace_is_not_made_twice(workspace):
    with pytest.raises(WorkspaceError, match="is a workspace already"):
        Workspace.init(workspace.path)


@pytest.mark.parametrize("writer", ["write_text", "write_format"])
def test_a_killed_init_is_simply_run_again(tmp_path, monkeypatch, writer):
    class KilledError(Exception):
        """Stands for kill -9."""

    def kill(*args):
        raise KilledError

    path = tmp_path / "shop"
    with monkeypatch.context() as patched:
        patched.setattr(atomic if writer == "write_text" else migrations, writer, kill)
        with pytest.raises(KilledError):
            Workspace.init(path, Config(shop=ShopConfig(currency="EUR")))
    (path / "store" / ".format.json.1.tmp").write_text("{")  # what a kill in the middle of writing leaves
    with pytest.raises(WorkspaceError, match="make one with: shoploom init"):
        Workspace.open(path)
    Workspace.init(path, Config(shop=ShopConfig(currency="GBP")))
    assert Workspace.open(path).config.shop.currency == "GBP"


def test_init_takes_no_data_and_no_configuration_of_others(tmp_path):
    written = tmp_path / "written"
    written.mkdir()
    (written / "shoploom.toml").write_text('[shop]\nname = "mine"\n')
    with pytest.raises(WorkspaceError, match="move that file away"):
        Workspace.init(written)
    workspace = Workspace.init(tmp_path / "shop")
    workspace.append("events", orders(), source="t")
    (workspace.store_dir / "format.json").unlink()
    with pytest.raises(WorkspaceError, match=r"no format\.json; restore that from a backup"):
        Workspace.init(workspace.path)


def test_a_file_is_no_workspace(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("a,b\n")
    for make in (Workspace.open, Workspace.init):
        with pytest.raises(WorkspaceError, match=r"orders\.csv is a file; name "):
            make(path)


def test_forgotten_customers_are_not_learned_from(workspace):
    workspace.append("events", orders(), source="t")
    people = pl.DataFrame({"customer_id": ["1", "2"], "attributes": ['{"pet": "yes"}', '{"pet": "no"}']})
    workspace.append("customers", people, source="t")
    workspace.event_log.append([{"type": "view", "product_id": "p1", "customer_id": "1"}])
    before, hidden = workspace.fingerprint(), Hidden(workspace.store_dir / FILE)
    hidden.set("customers", "1", hidden=True)
    loaded = workspace.load_tables()
    assert set(loaded.events["customer_id"]) == {"2", "3"}
    assert loaded.customers["customer_id"].to_list() == ["2"]
    assert len(workspace.read("events")) == 7  # what happened stays
    assert workspace.fingerprint() != before  # so that no training goes on from weights that know the customer
    hidden.set("customers", "1", hidden=False)
    assert workspace.fingerprint() == before


def test_unknown_tables_are_named(workspace):
    with pytest.raises(UsageError, match="Did you mean 'events'"):
        workspace.read("event")


def test_deleting_products_keeps_events(workspace):
    workspace.append("products", pl.DataFrame({"product_id": ["a", "b"]}), source="t")
    assert workspace.delete("products", ["a", "zz"]) == 1
    assert workspace.read("products")["product_id"].to_list() == ["b"]
    with pytest.raises(UsageError, match="events cannot be deleted"):
        workspace.delete("events", ["x"])


def test_the_configuration_is_kept(workspace):
    workspace.write_config(replace(workspace.config, mapping={"events": {"customer_id": 'a "b", c'}}))
    assert Workspace.open(workspace.path).config == workspace.config


def test_another_process_is_told_who_holds_the_lock(workspace):
    code = (
        "import sys\nfrom shoploom.data.workspace import Workspace\nfrom shoploom.errors import WorkspaceError\n"
        "try:\n    with Workspace.open(sys.argv[1]).lock('training'): print('got it')\n"
        "except WorkspaceError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(workspace.path)]
    with workspace.lock("import"), workspace.lock("nested"):
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"process {os.getpid()} (import" in told
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "got it"


def test_a_full_disk_changes_nothing_and_says_so(workspace):
    workspace.append("events", orders(), source="t")
    code = (
        "import resource, signal, sys\nimport polars as pl\nfrom shoploom.data.workspace import Workspace\n"
        "from shoploom.errors import WorkspaceError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "frame = pl.DataFrame({'product_id': [f'{n * 7919}' for n in range(200_000)]})\n"
        "try: Workspace.open(sys.argv[1]).append('products', frame, source='t')\n"
        "except WorkspaceError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, str(workspace.path)], capture_output=True, text=True, check=True)
    assert "free some space and run the command again" in told.stdout
    assert len(workspace.read("products")) == 0
    assert not list(workspace.store_dir.rglob("*.tmp"))


def test_format_1_becomes_format_2_with_ids_and_amounts(tmp_path):
    workspace = old_workspace(tmp_path)
    opened = Workspace.open(workspace)
    events = opened.read("events")
    assert events["amount"].to_list() == [4.0, 5.0]
    assert events["event_id"].n_unique() == 2
    assert migrations.read_format(opened.store_dir) == 2
    assert not (opened.store_dir / "events.parquet").exists()
    assert_frame_equal(Workspace.open(workspace).read("events"), events)


def test_a_killed_migration_is_simply_run_again(tmp_path):
    workspace = old_workspace(tmp_path)
    clean = migrations.MIGRATIONS[2](workspace / "store")  # killed before the version number was written
    assert callable(clean)
    assert migrations.read_format(workspace / "store") == 1
    assert len(Workspace.open(workspace).read("events")) == 2


def test_every_format_up_to_the_current_one_has_a_migration():
    assert sorted(migrations.MIGRATIONS) == list(range(2, migrations.CURRENT + 1))


def test_a_newer_format_asks_for_an_upgrade(workspace):
    migrations.write_format(workspace.store_dir, migrations.CURRENT + 1)
    with pytest.raises(WorkspaceError, match="pip install --upgrade shoploom"):
        Workspace.open(workspace.path)


def test_a_damaged_format_file_is_named(workspace):
    (workspace.store_dir / "format.json").write_text("{")
    with pytest.raises(WorkspaceError, match=r"format\.json is missing or damaged"):
        Workspace.open(workspace.path)


def old_workspace(tmp_path: Path) -> Path:
    """As the first version wrote it: one file of events without ids and amounts."""
    store = tmp_path / "old" / "store"
    store.mkdir(parents=True)
    (tmp_path / "old" / "shoploom.toml").write_text('[shop]\nname = "old"\n')
    (store / "format.json").write_text('{"format": 1}')
    frame = pl.DataFrame(
        {
            "time": [START, START],
            "customer_id": ["1", "1"],
            "type": ["purchase", "purchase"],
            "product_id": ["a", "b"],
            "quantity": [2.0, None],
            "price": [2.0, 5.0],
        }
    )
    frame.write_parquet(store / "events.parquet")
    return tmp_path / "old"
