from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.features.company import company
from shoploom.features.encodings import Encoding, crossed, out_of_fold
from shoploom.features.products import describe
from tests.shops import make_shop


def catalogue(**columns: list[object]) -> ShopArrays:
    number = len(next(iter(columns.values())))
    frame = schema.conform("products", pl.DataFrame({schema.PRODUCT: [f"p{row}" for row in range(number)]} | columns))
    return replace(make_shop(products=4, customers=4, days=60), catalogue=frame)


def test_columns_of_an_empty_catalogue_are_empty_texts() -> None:
    about = describe(catalogue(brand=[None, None]), np.array([1, 0]))
    assert about.titles == ["", ""]
    assert about.levels == []
    assert about.texts() == ["", ""]
    assert np.isnan(about.sizes()).all()


def test_levels_hold_the_path_and_are_hidden_on_request() -> None:
    shop = catalogue(title=["Red mug", "Mug"], category=[["Kitchen", "Mug"], ["Kitchen", None]])
    about = describe(shop, np.array([0, 1]))
    assert about.levels == [["Kitchen", "Kitchen"], ["Kitchen > Mug", ""]]
    hidden = describe(shop, np.array([0, 1]), hide_category=True)
    assert hidden.levels == []
    assert hidden.titles == ["Red", "Mug"]


@pytest.mark.parametrize(
    ("text", "size", "other", "pack"),
    [
        ("16 OZ", 16 * 28.35, None, None),
        ("2,5 kg", 2500.0, None, None),
        ("SET OF 6 CUPS", None, 6.0, 6.0),
        ("S/4 CANDLES", None, 4.0, 4.0),
        ("CRISPS 12 PK 30 G", 30.0, None, 12.0),
        ("plain", None, None, None),
    ],
)
def test_sizes_are_read_from_texts(text: str, size: float | None, other: float | None, pack: float | None) -> None:
    found = describe(catalogue(title=[text]), np.array([0])).sizes()[0]
    wanted = [np.nan if one is None else np.log(one) for one in (size, other, pack)]
    np.testing.assert_allclose(found, wanted)


def test_attributes_become_columns_and_words_of_their_own() -> None:
    shop = catalogue(
        title=["Mug", None],
        brand=["Acme & Co", None],
        attributes=[json.dumps({"maker": 69, "size": "12 OZ"}), None],
        category=[["Kitchen"], ["Garden"]],
    )
    about = describe(shop, np.array([0, 1]))
    assert about.attributes == {"maker": ["69", ""], "size": ["12 OZ", ""]}
    assert about.texts() == ["Mug l_Kitchen brand_Acme_Co maker_69 size_12_OZ", "l_Garden"]
    assert set(about.columns()) == {"level 0", "brand", "attribute maker", "attribute size", "stem", "maker"}


def test_variants_of_a_product_share_a_stem_and_bar_codes_a_maker() -> None:
    shop = catalogue(title=["a", "b", "c"])
    shop = replace(
        shop, catalogue=shop.catalogue.with_columns(product_id=pl.Series(["84968a", "84968B", "4710054134403"]))
    )
    columns = describe(shop, np.array([0, 1, 2])).columns()
    assert columns["stem"] == ["84968", "84968", "4710054134403"]
    assert columns["maker"] == ["", "", "4710054"]


def test_encodings_are_drawn_towards_the_mean_of_all() -> None:
    one = Encoding.fit(["a", "a", "b", ""], np.array([1.0, 3.0, 5.0, 7.0]), draw=2.0)
    means, counts = one(["a", "b", "", "new"])
    np.testing.assert_allclose(means, [(4 + 2 * 4) / 4, (5 + 2 * 4) / 3, 4, 4])
    assert counts.tolist() == [2, 1, 0, 0]


def test_out_of_fold_means_never_contain_their_own_row() -> None:
    column, fold = ["a", "a", "a", "b"], np.array([0, 0, 1, 1])
    means, counts = out_of_fold(column, np.array([1.0, 3.0, 9.0, 5.0]), fold, draw=0.0)
    np.testing.assert_allclose(means, [9, 9, 2, 0])
    assert counts.tolist() == [1, 1, 2, 0]  # nobody else has a "b"


def test_crossed_values_need_both() -> None:
    assert crossed(["a", "", "a"], ["x", "x", ""]) == ["a\x1fx", "", ""]


def test_company_counts_the_others_in_the_orders_of_a_product() -> None:
    shop = make_shop(products=8, customers=30)
    known = {f"p{row:03d}": row % 4 for row in range(8)}
    found = company(shop, np.array([2, 5]), known, 4)
    orders = [set(shop.lines.item[shop.lines.order == one].tolist()) for one in np.unique(shop.lines.order)]
    counts = np.zeros(4)
    for items in orders:
        for other in items - {2} if 2 in items else ():
            counts[other % 4] += 1
    usual = np.full(4, 0.25)
    shares = (counts + 5 * usual) / (counts.sum() + 5)
    np.testing.assert_allclose(found[0], np.log(shares / usual), rtol=1e-6)


def test_a_products_own_class_does_not_count_for_itself() -> None:
    shop = make_shop(products=8, customers=30)
    known = {f"p{row:03d}": row % 4 for row in range(8)}
    wrong = known | {"p002": 3}
    usual = [np.bincount(list(one.values()), minlength=4) + 1.0 for one in (known, wrong)]
    usual = [one / one.sum() for one in usual]
    found, other = (np.exp(company(shop, np.array([2]), one, 4)[0]) for one in (known, wrong))
    total = 5.0 + sum(
        len(set(shop.lines.item[shop.lines.order == one].tolist())) - 1
        for one in np.unique(shop.lines.order[shop.lines.item == 2])
    )
    np.testing.assert_allclose(
        found * usual[0] * total - 5 * usual[0], other * usual[1] * total - 5 * usual[1], atol=1e-4
    )


def test_no_orders_are_no_company() -> None:
    shop = make_shop(products=4, customers=4, days=60)
    shop = replace(shop, lines=shop.lines.take(slice(0, 0)))
    assert company(shop, np.array([1, 2]), {"p000": 0}, 2).tolist() == [[0, 0], [0, 0]]
