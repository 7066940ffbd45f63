"""What the catalogue says about products, as plain columns of text that models of products make features from.

Reads only the rows asked for, so one product is as quick as it should be. Nothing is fitted here.
"""

# Shapes: n products, G category levels

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F64, ShopArrays
from shoploom.tasks.category import titles_without_category

PATH = " > "
MAKER_DIGITS = 7
"""A bar code begins with its maker's number."""
_WEIGHTS = {"LB": 453.6, "LBS": 453.6, "KG": 1000.0, "G": 1.0, "GR": 1.0, "GM": 1.0, "MG": 0.001, "OZ": 28.35}
_VOLUMES = {"ML": 1.0, "CL": 10.0, "L": 1000.0, "LT": 1000.0, "LTR": 1000.0, "GAL": 3785.0, "QT": 946.0, "PT": 473.0}
_UNITS = _WEIGHTS | _VOLUMES
_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s*-?\s*([A-Z]+)")
_WORD = re.compile(r"\W+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_PACK = re.compile(
    r"(?:(?:SET|PACK|BOX|S|OF)\s*/?\s*(?:OF)?\s*|/)(\d{1,3})\b|\b(\d{1,3})\s*(?:PC|PCS|PK|CT|PACK|PIECES?)\b"
)


@dataclass(frozen=True)
class Descriptions:
    """Columns of n products; empty text where something is unknown.

    Args:
        ids: The shop's own.
        titles: Title and description; without words that repeat the category where that was asked for.
        levels: G columns, from coarse to fine; each holds the whole path down to its level. Empty where hidden.
        brand: Brand.
        attributes: A column per attribute that the catalogue names.
    """

    ids: list[str]
    titles: list[str]
    levels: list[list[str]]
    brand: list[str]
    attributes: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> dict[str, list[str]]:
        """Every column of a few repeated values by name, which is stable from shop to shop."""
        found = {f"level {number}": column for number, column in enumerate(self.levels)}
        found |= {"brand": self.brand} | {f"attribute {name}": column for name, column in self.attributes.items()}
        found["stem"] = [_stem(one) for one in self.ids]
        found["maker"] = [one[:MAKER_DIGITS] if len(one) > MAKER_DIGITS and one.isdigit() else "" for one in self.ids]
        return found

    def texts(self) -> list[str]:
        """Title, then each category, brand and attribute as one word of its own (``brand_acme``)."""
        columns = {"brand": self.brand} | self.attributes
        if self.levels:
            columns = {"l": self.levels[-1]} | columns
        words = [[f"{name}_{_WORD.sub('_', one)}" if one else "" for one in column] for name, column in columns.items()]
        return [" ".join(one for one in row if one) for row in zip(self.titles, *words, strict=True)]

    def sizes(self) -> F64:
        """(n, 3) log of the size in grams or millilitres, log of a size without such a unit, log of a pack's count."""
        texts = [text.upper() for text in self._measures()]
        return np.array([_sizes(text) for text in texts], dtype=np.float64).reshape(-1, 3)

    def _measures(self) -> list[str]:
        telling = [column for name, column in self.attributes.items() if "size" in name or "weight" in name.lower()]
        return [" ".join(row) for row in zip(*telling, self.titles, strict=True)]


def describe(shop: ShopArrays, items: NDArray[np.integer], *, hide_category: bool = False) -> Descriptions:
    """The catalogue entries of some items."""
    rows = shop.catalogue[np.asarray(items, dtype=np.uint32)] if len(items) else shop.catalogue.head(0)
    titles = titles_without_category(shop.catalogue, items) if hide_category else _texts(rows[schema.TITLE])
    details = _texts(rows[schema.DESCRIPTION])
    return Descriptions(
        ids=rows[schema.PRODUCT].to_list(),
        titles=[f"{title} {more[:300]}".strip() for title, more in zip(titles, details, strict=True)],
        levels=[] if hide_category else _levels(rows[schema.CATEGORY]),
        brand=_texts(rows[schema.BRAND]),
        attributes=_attributes(rows[schema.ATTRIBUTES]),
    )


def _texts(column: pl.Series) -> list[str]:
    return [one.strip() for one in column.fill_null("").to_list()]


def _levels(paths: pl.Series) -> list[list[str]]:
    depth = min(5, int(paths.list.len().max() or 0))  # type: ignore[arg-type]
    found = []
    for level in range(depth):
        names = paths.list.head(level + 1)
        whole = (
            pl.when(names.list.drop_nulls().list.len() == level + 1).then(names.list.join(PATH)).otherwise(pl.lit(""))
        )
        found.append(pl.select(whole.alias("path"))["path"].fill_null("").to_list())
    return found


def _attributes(column: pl.Series) -> dict[str, list[str]]:
    known: dict[str, dict[str, str]] = {"": {}}
    rows = []
    for text in column.fill_null("").to_list():
        if text not in known:
            known[text] = {
                name: str(value).strip() for name, value in json.loads(text).items() if value not in (None, "")
            }
        rows.append(known[text])
    names = sorted({name for row in rows for name in row})
    return {name: [row.get(name, "") for row in rows] for name in names}


def _stem(one: str) -> str:
    """The id without letters at its end: many shops number variants of a product like 84968A, 84968B."""
    stem = one.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    return stem if stem != one and len(stem) >= 3 else (one if any(sign.isdigit() for sign in one) else "")


def _sizes(text: str) -> tuple[float, float, float]:
    measured = other = pack = float("nan")
    for found in _SIZE.finditer(text):
        amount = float(found[1].replace(",", "."))
        if amount > 0 and found[2] in _UNITS:
            measured = float(np.log(amount * _UNITS[found[2]]))
            break
    number = _NUMBER.search(text)
    if np.isnan(measured) and number and float(number[0].replace(",", ".")) > 0:
        other = float(np.log(float(number[0].replace(",", "."))))
    several = _PACK.search(text)
    if several and int(several[1] or several[2]) > 0:
        pack = float(np.log(int(several[1] or several[2])))
    return measured, other, pack
