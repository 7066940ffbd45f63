from __future__ import annotations

from datetime import datetime

import polars as pl

from shoploom.data import schema
from shoploom.data.identity import content_ids, fill_ids


def events(**columns: object) -> pl.DataFrame:
    base = {"time": [datetime(2024, 5, 1, 10)] * 3, "product_id": ["a", "a", "b"], "quantity": [1.0, 1.0, 1.0]}
    return schema.conform("events", pl.DataFrame({**base, **columns}))


def test_equal_lines_of_one_import_are_told_apart_by_their_occurrence():
    first, second, third = content_ids(events()).to_list()
    assert second == f"{first}-1"
    assert third not in (first, second)


def test_ids_do_not_depend_on_the_rows_around():
    assert content_ids(events().slice(2)).item() == content_ids(events())[2]


def test_ids_stay_the_same_for_ever():
    # Stored ids are compared with those of later imports: a changed hash would double every shop's data.
    assert content_ids(events()).to_list() == [
        "56c1fbb436b4682ea8429edf",
        "56c1fbb436b4682ea8429edf-1",
        "479bbbe9288df42cc5002ac3",
    ]


def test_a_null_is_not_an_empty_text():
    assert content_ids(events(query=[None, "", None]))[0] != content_ids(events(query=["", None, None]))[0]


def test_correcting_the_price_column_does_not_make_new_events():
    assert content_ids(events(price=[1.0, 2.0, 3.0])).to_list() == content_ids(events()).to_list()


def test_every_identifying_column_counts():
    base = content_ids(events())[0]
    for name, value in {"customer_id": "7", "order_id": "8", "quantity": 2.0, "amount": 0.5, "position": 3}.items():
        assert content_ids(events(**{name: [value] * 3}))[0] != base, name


def test_ids_of_the_source_are_kept():
    filled = fill_ids(events(event_id=["x", None, "y"]))["event_id"].to_list()
    assert filled[0] == "x"
    assert filled[2] == "y"
    assert len(filled[1]) == 24


def test_no_events_have_no_ids():
    assert content_ids(events().clear()).to_list() == []
