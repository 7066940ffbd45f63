"""The page about files names exactly the columns that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shoploom.data import schema

PAGE = Path(__file__).parents[3] / "docs" / "data.md"


@pytest.mark.parametrize("table", schema.TABLES)
def test_the_page_names_all_columns_and_which_are_needed(table):
    line = next(one for one in PAGE.read_text(encoding="utf-8").splitlines() if one.startswith(f"| `{table}` |"))
    cell = line.split("|")[2]
    assert set(re.findall(r"`(\w+)`", cell)) == set(schema.TABLES[table])
    assert set(re.findall(r"\*\*`(\w+)`\*\*", cell)) == set(schema.REQUIRED[table])


def test_the_page_names_all_types_of_events():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{one}`" in text for one in schema.EVENT_TYPES)
