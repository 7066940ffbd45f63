from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoploom.apps.explain import Words
from shoploom.config import CleaningConfig
from shoploom.data import schema
from shoploom.data.arrays import Lines, ShopArrays
from shoploom.data.hidden import Hidden
from shoploom.inference.because import Code, Effect, Why
from shoploom.inference.served import Recommendation, Served
from shoploom.inference.state import ShopState
from shoploom.inference.suspects import EVERYTHING, Suspect
from tests.shops import make_shop

KINDS = {name: number for number, name in enumerate(schema.EVENT_TYPES)}
NEW = 9
"""The recommended product; nobody in these histories has it."""


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=12, products=10, days=90)


def history(shop: ShopArrays, *events: tuple[int, float, str]) -> Lines:
    """Lines of (product, days before the end, type)."""
    lines = shop.lines.take(np.zeros(len(events), dtype=np.int64))
    items, days, types = zip(*events, strict=True)
    return replace(
        lines,
        item=np.array(items, dtype=np.int32),
        time=shop.end - np.array(days),
        kind=np.array([KINDS[one] for one in types], dtype=np.int8),
        purchase=np.array([one == schema.PURCHASE for one in types]),
    )


def served_of(shop: ShopArrays, tmp_path: Path) -> Served:
    hidden = Hidden(tmp_path / "hidden.json")
    return Served(
        "v0001", {}, {}, ShopState(shop, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=hidden)
    )


def tell(
    shop: ShopArrays, tmp_path: Path, lines: Lines, suspect: Suspect, *, item: int = NEW, code: Code = "history"
) -> str:
    shown = Recommendation([item], [1.0], "toy", False, shop.end)
    effect = Effect(suspect, 1, 7, 6, -0.5, 0.5)
    why = Why(item, code, 1, 7, (effect,), False, 3)
    return str(Words(served_of(shop, tmp_path), lines, shown).of(why)["text"])


def test_purchases_are_counted_by_visit(shop: ShopArrays, tmp_path: Path) -> None:
    lines = history(shop, (1, 30, "purchase"), (1, 30, "purchase"), (1, 6.5, "purchase"), (1, 2, "view"))
    title = "green dairy item 1"
    assert (
        tell(shop, tmp_path, lines, Suspect("product", (1,))) == f"Because you bought {title} twice (last 6 days ago)"
    )


def test_what_was_only_looked_at_is_not_called_bought(shop: ShopArrays, tmp_path: Path) -> None:
    lines = history(shop, (1, 1.5, "view"))
    found = tell(shop, tmp_path, lines, Suspect("product", (1,)))
    assert found == "Because you looked at green dairy item 1 once (yesterday)"
    cart = history(shop, (NEW, 0.1, "add_to_cart"))
    assert tell(shop, tmp_path, cart, Suspect("product", (NEW,))) == "Because you put it into the cart once (today)"


def test_a_set_names_the_first_and_counts_the_rest(shop: ShopArrays, tmp_path: Path) -> None:
    lines = history(shop, *[(item, 40.0 - item, "purchase") for item in (0, 1, 2, 3, 4)])
    found = tell(shop, tmp_path, lines, Suspect("products", (4, 0, 2, 1, 3)))
    assert found == (
        "Because you bought black bakery item 4 once (36 days ago), red bakery item 0 once (40 days ago), "
        "blue garden item 2 once (38 days ago) and 2 other products"
    )


def test_categories_count_the_visits_that_bought_from_them(shop: ShopArrays, tmp_path: Path) -> None:
    lines = history(shop, (1, 30, "purchase"), (5, 30, "purchase"), (5, 12, "purchase"), (2, 3, "purchase"))
    dairy = Suspect("category", (5, 1), ("Dairy",))
    assert tell(shop, tmp_path, lines, dairy) == "Because you bought from Dairy twice (last 12 days ago)"
    both = Suspect("categories", (5, 1, 2), ("Dairy", "Garden"))
    assert tell(shop, tmp_path, lines, both) == (
        "Because you bought from Dairy twice (last 12 days ago) and from Garden once (3 days ago)"
    )


def test_the_whole_history_is_told_as_such(shop: ShopArrays, tmp_path: Path) -> None:
    lines = history(shop, (1, 30, "purchase"))
    found = tell(shop, tmp_path, lines, EVERYTHING, code="whole_history")
    assert found == "Because of what you bought in all; no single part of it decides"


def test_what_was_tried_in_vain_is_not_told(shop: ShopArrays, tmp_path: Path) -> None:
    lines = history(shop, (1, 30, "purchase"))
    found = tell(shop, tmp_path, lines, Suspect("product", (1,)), code="popular")
    assert found == "Because it sells well: place 7 also for a customer without history"


def test_what_the_model_does_not_rank_is_pinned_filled_up_or_not_recommended(shop: ShopArrays, tmp_path: Path) -> None:
    lines = history(shop, (1, 30, "purchase"))
    why = Why(NEW, "not_ranked", None, None, (), False, 3)
    shown = Recommendation([2, NEW], [1.0, 0.0], "toy", False, shop.end, filled=1)
    served = served_of(shop, tmp_path)
    told = Words(served, lines, shown).of(why)
    assert (told["position"], told["text"]) == (2, "Because it sells well; it fills up the list")
    pinned = Words(served, lines, shown, [shop.items.ids[NEW]]).of(why)
    assert pinned["text"] == "Because the shop pins it to this place"
    other = Words(served, lines, replace(shown, items=[2])).of(why)
    assert other["position"] is None
    assert other["text"].startswith("Not recommended: ")
