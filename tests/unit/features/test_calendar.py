from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from shoploom.features.calendar import COLUMNS, block_calendar, holidays


@pytest.mark.parametrize("day", [date(2000, 4, 23), date(2010, 4, 4), date(2017, 4, 16), date(2024, 3, 31)])
def test_easter_moves(day: date) -> None:
    assert holidays(day.year)[day] == "easter"


def test_american_and_british_days_follow_the_time_zone() -> None:
    american, british = holidays(2017, "America/Chicago"), holidays(2010, "Europe/London")
    assert american[date(2017, 5, 29)] == "memorial day"
    assert american[date(2017, 9, 4)] == "labor day"
    assert american[date(2017, 11, 23)] == "thanksgiving"
    assert american[date(2017, 11, 24)] == "black friday"
    assert british[date(2010, 5, 31)] == "spring holiday"
    assert british[date(2010, 8, 30)] == "summer holiday"
    assert "thanksgiving" not in british.values()


def test_blocks_around_christmas() -> None:
    starts = [datetime(2017, 12, 11) + timedelta(days=7 * number) for number in range(4)]
    rows = block_calendar(starts, 7, "America/New_York")
    found = {name: rows[:, at].tolist() for at, name in enumerate(COLUMNS)}
    # blocks begin on 11, 18, 25 December and 1 January; their middles are 14, 21, 28 December and 4 January
    assert found["days_to_christmas"] == [11, 4, -3, -10]
    assert found["before_christmas"] == [0, 1, 0, 0]
    assert found["after_christmas"] == [0, 0, 1, 0]
    assert found["first_of_month"] == [0, 0, 0, 1]
    assert found["holidays"] == [0, 1, 2, 1]  # the 24th; the 25th and 31st; the 1st


def test_no_blocks_give_no_rows() -> None:
    assert block_calendar([], 7).shape == (0, len(COLUMNS))
