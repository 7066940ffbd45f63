"""What a split's ``task.json`` says in words, as a configuration: which rows count, how long the horizon is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from shoploom.config import CleaningConfig, ClockConfig

_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def clock_of(task: Mapping[str, Any]) -> ClockConfig:
    """Horizon and blocks, and the windows that the heads' sentences name."""
    heads = task["heads"]
    default = ClockConfig()
    active = _number(r"in the (\d+) days before", _truth(heads, "churn") or _truth(heads, "spend"))
    best = _number(r"The (\d+) products", _truth(heads, "demand"))
    window = _number(r"in the (\d+) days before", _truth(heads, "demand"))
    everything = "in all days" in _truth(heads, "demand")
    return ClockConfig(
        horizon_days=int(task["horizon_days"]),
        block_days=int(task["block_days"]),
        active_days=int(active or default.active_days),
        demand_products=int(best or default.demand_products),
        demand_days=100_000 if everything else int(window or default.demand_days),
    )


def cleaning_of(task: Mapping[str, Any], categories: Iterable[str]) -> CleaningConfig:
    """The rules about purchases and goods; what they leave open is found in the data.

    Args:
        task: ``task.json``.
        categories: Every category name of the products table: those that the goods sentence names are left out.
    """
    rules = [str(one) for one in task.get("rules", ())]
    goods = next((one for one in rules if one.startswith("Goods")), "")
    purchase = next((one for one in rules if one.startswith("A purchase")), "")
    price = _truth(task["heads"], "price")
    quantity = re.search(r"[Qq]uantity (\d+) to (\d+)", goods)
    digits = re.search(r"begins? with (\w+) digits", goods)
    limits = re.search(r"between ([\d.]+) and ([\d.]+)", price)
    most = re.search(r"at most (\d+) pieces", price)
    outside = re.search(r"outside (.*?)(?: with |$)", goods)
    named = [name for name in set(categories) if outside and _names(name, outside[1])]
    return CleaningConfig(
        goods_quantity=(float(quantity[1]), float(quantity[2])) if quantity else (),
        exclude_categories=tuple(sorted(named)),
        detect_services=not goods,
        product_pattern=rf"^\d{{{_count(digits[1])}}}" if digits else "",
        positive_price="above 0" in goods,
        purchases_are_goods="any row" not in purchase,
        price_quantity=float(most[1]) if most else 0.0,
        price_range=(float(limits[1]), float(limits[2])) if limits else CleaningConfig().price_range,
    )


def mapping_of(task: Mapping[str, Any], table: str) -> dict[str, str]:
    """The roles of a table's columns as an import mapping."""
    found: dict[str, str] = {}
    for role, column in task["roles"].get(table, {}).items():
        columns = [column] if isinstance(column, str) else list(column)
        if role == "discount":  # of several discounts the shelf price counts those that the price sentence names
            named = [one for one in columns if one in _truth(task["heads"], "price")]
            rest = [one for one in columns if one not in named]
            if named and rest:
                found["coupon"] = rest[0]
            columns = named or columns
        found[role] = ", ".join(columns)
    return found


def _names(name: str, sentence: str) -> bool:
    return bool(name) and re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", sentence) is not None


def _truth(heads: Mapping[str, Any], head: str) -> str:
    return str(heads.get(head, {}).get("truth", ""))


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    return float(found[1]) if found else None


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _WORDS.get(word, 1)
