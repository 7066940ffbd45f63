from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zlib import crc32

import polars as pl
import pytest

from shoploom.data import quality
from shoploom.data.quality_checks import LEAK_AUC
from shoploom.data.workspace import Workspace
from shoploom.errors import QualityError
from tests.shops import make_tables

NOW = datetime(2024, 7, 2)
START = datetime(2024, 1, 1, 9)


def orders(count: int = 400, **columns: object) -> pl.DataFrame:
    base = {
        "time": [START + timedelta(hours=9 * row) for row in range(count)],
        "customer_id": [f"c{row % 23}" for row in range(count)],
        "order_id": [str(row) for row in range(count)],
        "type": ["purchase"] * count,
        "product_id": [f"{100 + row % 17}" for row in range(count)],
        "quantity": [1.0] * count,
        "amount": [2.0] * count,
    }
    return pl.DataFrame({**base, **columns})


def report_of(tmp_path: Path, frame: pl.DataFrame, **tables: pl.DataFrame) -> quality.QualityReport:
    workspace = Workspace.init(tmp_path / "shop")
    for name, table in tables.items():
        workspace.append(name, table, source="t")
    if len(frame):
        workspace.append("events", frame, source="t")
    return quality.check(workspace, now=NOW)


def found(report: quality.QualityReport, check: str) -> list[tuple[str, str]]:
    return [(one.severity, one.message) for one in report.findings if one.check == check]


def test_a_healthy_shop_passes():
    report = quality.check(make_tables(), now=NOW)
    assert report.worst != "error"
    report.require()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (orders(0), "there are no events"),
        (orders(20, type=["view"] * 20), r"no row counts as a purchase of a known customer \(types: view\)"),
        (orders(20, customer_id=[None] * 20), "no row counts as a purchase"),
        (orders(20, customer_id=["c1"] * 20), "all purchases are of one customer"),
        (orders(20, product_id=["p1"] * 20), "all purchases are of one product"),
        (orders(20, time=[START] * 20), "all events lie within 0.0 days"),
    ],
)
def test_what_cannot_be_learned_from_stops(tmp_path, frame, message):
    report = report_of(tmp_path, frame)
    assert report.worst == "error"
    with pytest.raises(QualityError, match=message):
        report.require()


def test_events_from_the_future_are_put_aside(tmp_path):
    frame = orders(400).with_columns(
        time=pl.when(pl.int_range(pl.len()) == 399).then(pl.lit(datetime(2031, 1, 1))).otherwise("time")
    )
    report = report_of(tmp_path, frame)
    assert report.quarantine == {"events: time is in the future": 1}
    workspace = Workspace.open(tmp_path / "shop")
    assert workspace.load_tables().events["time"].max() < NOW
    assert quality.check(workspace, now=NOW).quarantine == report.quarantine


def test_many_rows_in_quarantine_stop(tmp_path):
    report = report_of(tmp_path, orders(40, price=[-1.0] * 20 + [1.0] * 20))
    assert found(report, "quarantine") == [
        ("error", "20 rows of events are in quarantine: price is negative or no number")
    ]


def test_repeated_rows_are_counted(tmp_path):
    report = report_of(tmp_path, pl.concat([orders(), orders(40)]))
    assert found(report, "duplicates") == [
        ("warning", "40 rows (9.1%) equal another row in customer, product, time, order and quantity")
    ]


def test_gaps_are_named(tmp_path):
    late = orders(200, time=[datetime(2024, 5, 1) + timedelta(hours=5 * row) for row in range(200)])
    report = report_of(tmp_path, pl.concat([orders(100), late]))
    assert any(
        message.startswith("no event lies between 2024-02-07 and 2024-05-01") for _, message in found(report, "clock")
    )


def test_a_short_first_week_is_said(tmp_path):
    first = datetime(2024, 1, 7, 7)  # a Sunday
    report = report_of(tmp_path, orders(time=[first + timedelta(hours=9 * row) for row in range(400)]))
    assert ("info", "the first week has only 17 hours of data, from Sunday 07:00 on") in found(report, "clock")


def test_quantities_and_prices_out_of_the_ordinary(tmp_path):
    quantity = [1.0] * 395 + [0.0] * 3 + [90_000.0] * 2
    report = report_of(tmp_path, orders(quantity=quantity, amount=[2.0] * 394 + [9_000.0] + [2.0] * 5))
    messages = [message for _, message in found(report, "quantities")]
    assert any(message.startswith("3 purchase rows have a quantity of 0") for message in messages)
    assert any(message.startswith("2 purchase rows have more than") for message in messages)
    assert ("warning", "1 goods rows have a price of more than 1000 times the usual 2.00") in found(report, "prices")


def test_unknown_products_and_customers_are_counted(tmp_path):
    products = pl.DataFrame({"product_id": [f"{100 + row}" for row in range(16)]})
    customers = [None] * 300 + [f"c{row % 23}" for row in range(100)]
    report = report_of(tmp_path, orders(customer_id=customers), products=products)
    severities = {severity for severity, _ in found(report, "unknown ids")}
    assert severities == {"warning"}
    assert any("300 rows (75.0%) name no customer" in message for _, message in found(report, "unknown ids"))


def test_a_dominant_class_and_an_almost_empty_attribute_are_warned_of(tmp_path):
    attributes = [
        json.dumps({"country": "UK" if row else "DE", **({"hobby": "x"} if row == 3 else {})}) for row in range(200)
    ]
    customers = pl.DataFrame({"customer_id": [f"c{row}" for row in range(200)], "attributes": attributes})
    report = report_of(tmp_path, orders(), customers=customers)
    assert any("'UK'" in message for _, message in found(report, "imbalance"))
    assert ("warning", "attributes.hobby is missing in 99.5% of the rows") in found(report, "missing")


def test_an_attribute_that_was_written_after_the_fact_is_suspected():
    shop = make_tables(customers=300)
    cut = shop.end - timedelta(days=shop.clock.horizon_days)
    stayed = set(shop.events.filter(pl.col("time") >= cut, pl.col("is_purchase"))["customer_id"])
    ids = (
        [f"c{row:03d}" for row in range(300)]
        if "c001" in set(shop.events["customer_id"])
        else sorted(set(shop.events["customer_id"].drop_nulls()))
    )
    facts = [("open" if one in stayed else "closed", crc32(one.encode()) % 2) for one in ids]
    status = [json.dumps({"status": status, "luck": str(luck)}) for status, luck in facts]
    customers = pl.DataFrame({"customer_id": ids, "attributes": status, "created_at": [None] * len(ids)})
    customers = customers.cast({"created_at": pl.Datetime("us")})
    report = quality.check(replace(shop, customers=customers), now=NOW)
    suspects = found(report, "leakage")
    assert len(suspects) == 1
    assert suspects[0][1].startswith("status alone tells with an AUC of")
    assert LEAK_AUC == 0.99


def test_rare_values_do_not_look_like_leaks():
    shop = make_tables(customers=300)
    ids = sorted(set(shop.events["customer_id"].drop_nulls()))
    values = [json.dumps({"group": str(number % 45)}) for number in range(len(ids))]
    customers = pl.DataFrame({"customer_id": ids, "attributes": values}).with_columns(
        created_at=pl.lit(None, dtype=pl.Datetime("us"))
    )
    assert found(quality.check(replace(shop, customers=customers), now=NOW), "leakage") == []


def test_every_column_says_how_it_is_filled(tmp_path):
    products = pl.DataFrame(
        {
            "product_id": [f"{100 + row}" for row in range(17)],
            "brand": ["A"] * 8 + [None] * 9,
            "price": [1.0] * 13 + [50.0] * 3 + [None],
        }
    )
    report = report_of(tmp_path, orders(), products=products)
    chosen = {one.name: (one.imputation, one.value) for one in report.columns["products"]}
    assert chosen["brand"] == ("missing", "missing")
    assert chosen["price"] == ("median", "1")


def test_the_report_is_written_for_people_and_machines(tmp_path):
    report = report_of(tmp_path, orders(product_id=['<script>alert("x")</script>'] * 400))
    page = report.write(tmp_path / "reports").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http" not in page
    assert "all purchases are of one product" in page
    plain = json.loads((tmp_path / "reports" / "quality.json").read_text(encoding="utf-8"))
    assert plain["worst"] == "error"
    assert plain["counts"]["events"] == 400


def test_html_in_the_shops_words_is_escaped(tmp_path):
    attributes = [json.dumps({"<b>x</b>": "<i>" if row else "y"}) for row in range(30)]
    customers = pl.DataFrame({"customer_id": [f"c{row}" for row in range(30)], "attributes": attributes})
    page = report_of(tmp_path, orders(), customers=customers).to_html(tmp_path / "q.html").read_text(encoding="utf-8")
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
