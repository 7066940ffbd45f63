from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from shoploom.data.sources import convert


def series(*values: object) -> pl.Series:
    return pl.Series("x", list(values), strict=False)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (series("13085.0", "7.0", None), ["13085", "7", None]),
        (series(13085.0, None), ["13085", None]),
        (series(1.5, 2.0), ["1.5", "2.0"]),
        (series("007", "7"), ["007", "7"]),
        (series("1.0", "1.5"), ["1.0", "1.5"]),
        (series(12, 13), ["12", "13"]),
        (series(" a,b ", "NaN", "", '"q"', "🍵"), ["a,b", None, None, '"q"', "🍵"]),
    ],
)
def test_ids_are_kept_as_the_shop_spells_them(given, wanted):
    assert convert.ids(given).to_list() == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["1.5", "2", None], [1.5, 2.0, None]),
        (["1,5", "2,25"], [1.5, 2.25]),
        (["1.234,56", "7,00"], [1234.56, 7.0]),
        (["1,234.56", "7.00"], [1234.56, 7.0]),
        (["1,234", "12,500"], [1234.0, 12500.0]),
        (["€ 3,50", "4,00 €"], [3.5, 4.0]),
        (["$1,000.00", "-5.5"], [1000.0, -5.5]),
        (["(12.50)", "3.00-"], [-12.5, -3.0]),
        (["1e3", "2.5E-1"], [1000.0, 0.25]),
    ],
)
def test_numbers_in_the_ways_of_the_world(given, wanted):
    read = convert.number(series(*given))
    assert read.values.to_list() == wanted
    assert not read.bad.any()


def test_what_is_no_number_is_marked():
    assert convert.number(series("1", "two", None, "n/a")).bad.to_list() == [False, True, False, False]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("2024-01-31", datetime(2024, 1, 31)),
        ("2024-01-31 18:30:05", datetime(2024, 1, 31, 18, 30, 5)),
        ("2024-01-31T18:30:05.250", datetime(2024, 1, 31, 18, 30, 5, 250_000)),
        ("2024-01-31T18:30:05Z", datetime(2024, 1, 31, 18, 30, 5)),
        ("2024-01-31T18:30:05+02:00", datetime(2024, 1, 31, 16, 30, 5)),
        ("2024-01-31 18:30:05 UTC", datetime(2024, 1, 31, 18, 30, 5)),
        ("2024-01-31 18:30:05.123456 UTC", datetime(2024, 1, 31, 18, 30, 5, 123_456)),
        ("31.01.2024 18:30", datetime(2024, 1, 31, 18, 30)),
        ("31/01/2024 18:30", datetime(2024, 1, 31, 18, 30)),
        ("1/31/2024 18:30", datetime(2024, 1, 31, 18, 30)),
        ("12/31/10 8:26", datetime(2010, 12, 31, 8, 26)),
        ("1/31/2024 6:30 PM", datetime(2024, 1, 31, 18, 30)),
        ("31 Jan 2024", datetime(2024, 1, 31)),
        ("Jan 31, 2024", datetime(2024, 1, 31)),
        ("2024/01/31", datetime(2024, 1, 31)),
        ("2024年01月31日", datetime(2024, 1, 31)),
        ("20240131", datetime(2024, 1, 31)),
        ("1706725805", datetime(2024, 1, 31, 18, 30, 5)),
        ("1706725805000", datetime(2024, 1, 31, 18, 30, 5)),
    ],
)
def test_times_in_the_ways_of_the_world(given, wanted):
    read = convert.time(series(given, given, None), timezone="UTC")
    assert read.values.to_list() == [wanted, wanted, None]
    assert not read.bad.any()


@pytest.mark.parametrize(
    "given",
    [date(2024, 1, 31), datetime(2024, 1, 31), 1_706_659_200, 1_706_659_200_000, 1_706_659_200_000_000, 20240131],
)
def test_typed_times(given):
    assert convert.time(series(given), timezone="UTC").values.item() == datetime(2024, 1, 31)


def test_one_day_above_twelve_settles_the_order_of_day_and_month():
    assert convert.time(series("03/04/2024", "13/04/2024"), timezone="UTC").values[0] == datetime(2024, 4, 3)
    assert convert.time(series("03/04/2024", "03/13/2024"), timezone="UTC").values[0] == datetime(2024, 3, 4)


def test_an_undecided_order_is_said():
    assert "though %d/%m/%Y fits as well" in convert.time(series("03/04/2024"), timezone="UTC").note


def test_local_times_become_utc_also_where_clocks_change():
    local = series("2024-03-31 01:30:00", "2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-07-01 12:00:00")
    found = convert.time(local, timezone="Europe/Berlin").values.to_list()
    assert found == [
        datetime(2024, 3, 31, 0, 30),
        datetime(2024, 3, 31, 1, 30),  # the skipped hour is an hour later
        datetime(2024, 10, 27, 0, 30),  # the doubled hour is the earlier one
        datetime(2024, 7, 1, 10),
    ]


def test_unparsable_times_are_marked():
    read = convert.time(series("2024-01-31", "soon"), timezone="UTC")
    assert read.bad.to_list() == [False, True]


def test_event_types_of_well_known_trackers():
    read = convert.event_type(series("view_item", "Product Added", "buy", "pv", "kauf", "Order Completed", "quux"))
    assert read.values.to_list()[:6] == ["view", "add_to_cart", "purchase", "view", "purchase", "purchase"]
    assert read.bad.to_list() == [False] * 6 + [True]
    assert convert.event_type(series("quux"), {"quux": "click"}).values.to_list() == ["click"]


def test_category_paths():
    assert convert.category([series("Home > Kitchen", None)]).to_list() == [["Home", "Kitchen"], None]
    assert convert.category([series("Toys")]).to_list() == [["Toys"]]
    assert convert.category([series("['A', 'B']")]).to_list() == [["A", "B"]]
    assert convert.category([series("A", None), series("b", None)]).to_list() == [["A", "b"], None]


def test_attributes_are_json_without_empty_rows():
    made = convert.json_object({"age": series("30", ""), "n": pl.Series([1.0, None])})
    assert made.to_list() == ['{"age":"30","n":"1"}', None]
