"""Which event rows count, and how missing values are filled: rows are flagged, never dropped.

Three flags: a *purchase* counts for customers, *goods* count for products, *priced* goods give a shelf price. The rules
come from ``[cleaning]`` in ``shoploom.toml``; what is left open there is found in the data, with an explanation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from shoploom.config import CleaningConfig
from shoploom.data import schema
from shoploom.data.tables import GOODS_FLAG, PRICED_FLAG, PURCHASE_FLAG, SHELF

SERVICE_WORDS = (
    r"\b(fuel|gasoline|petrol|coupons?|vouchers?|gift ?cards?|gift certificates?|postage|carriage|shipping|"
    r"shipping (fee|cost)s?|delivery (fee|charge)s?|fees?|bank charges?|service charges?|surcharges?|"
    r"(bottle )?deposits?|donations?|lottery|versandkosten|gutscheine?|pfand|frais de port|gastos de env[ií]o|"
    r"邮费|运费|优惠券|礼品卡)\b"
)
"""Words in the name of a category that is no merchandise."""

SERVICE_TITLES = (
    r"^(dotcom |amazon |next day )?(postage|carriage|shipping|delivery|manual|discount|adjustment|samples?|"
    r"bank charges|fees?|vouchers?|coupons?|gift ?cards?|deposit|donation|test( product)?|porto|versand|rabatt)s?$"
)
"""Whole titles that are no merchandise; a title that only contains such a word (a postage scale) is."""

ODD_CATEGORY = 50.0
"""A category is no merchandise if its median quantity is so many times the usual one and 99.9 % of rows are below."""

DOMINANT_ROWS, ODD_IDS = 0.95, 0.05
"""Ids of another shape are services if at most 5 % of the rows and of the ids have one."""

_SHAPES = (
    (r"^\d", "begin with a digit"),
    (r"^\pL+[-_ ]?\d", "are letters and then digits"),
    (r"\d", "contain a digit"),
)


@dataclass(frozen=True)
class Rules:
    """Cleaning rules with nothing left open.

    Args:
        config: The rules.
        explanations: One sentence per rule that was found in the data, for the quality report.
    """

    config: CleaningConfig
    explanations: tuple[str, ...] = ()


def flag(events: pl.DataFrame, products: pl.DataFrame, cleaning: CleaningConfig) -> pl.DataFrame:
    """Canonical events with ``is_purchase``, ``is_goods``, ``is_priced`` and ``shelf_price``.

    The shelf price is price + discount per unit, or amount / quantity where no price is known. Refunds and events that
    are no purchase never count. Ids that mean "unknown" become null.

    Args:
        events: Canonical events, any order.
        products: Canonical products; a price counts only for products of the catalogue, if there is one.
        cleaning: The rules; open ones are found in these events. For single events hand in rules that are closed.
    """
    rules = detect_rules(events, products, cleaning).config
    customer = pl.col(schema.CUSTOMER)
    unknown = customer.str.strip_chars().str.to_lowercase().is_in(rules.anonymous_ids)
    goods, purchase = pl.col(GOODS_FLAG), pl.col(PURCHASE_FLAG)
    quantity = pl.col(schema.QUANTITY).fill_null(1.0)
    few = quantity <= rules.price_quantity if rules.price_quantity > 0 else pl.lit(value=True)
    flagged = events.with_columns(
        pl.when(~unknown).then(customer).alias(schema.CUSTOMER),
        shelf_price().alias(SHELF),
        (pl.col(schema.TYPE) == schema.PURCHASE).fill_null(value=False).alias(PURCHASE_FLAG),
    )
    flagged = flagged.with_columns((purchase & _merchandise(events, products, rules)).alias(GOODS_FLAG))
    return flagged.with_columns(
        ((goods if rules.purchases_are_goods else purchase) & customer.is_not_null()).alias(PURCHASE_FLAG),
        (goods & few & (pl.col(SHELF) > 0).fill_null(value=False) & _catalogued(events, products)).alias(PRICED_FLAG),
    )


def shelf_price() -> pl.Expr:
    """Price per unit before discounts, null where quantity is 0 and no price is given."""
    quantity = pl.col(schema.QUANTITY).fill_null(1.0)
    paid = pl.coalesce(schema.PRICE, pl.when(quantity > 0).then(pl.col(schema.AMOUNT) / quantity))
    return paid + pl.col(schema.DISCOUNT).fill_null(0.0)


def detect_rules(events: pl.DataFrame, products: pl.DataFrame, cleaning: CleaningConfig | None = None) -> Rules:
    """Close the rules that the configuration leaves open, by looking at the data.

    Args:
        events: Canonical events.
        products: Canonical products.
        cleaning: What is known already; all open where None.
    """
    rules = cleaning or CleaningConfig()
    found: list[str] = []
    sold = events.filter(pl.col(schema.TYPE) == schema.PURCHASE)
    if rules.detect_services and not rules.exclude_categories:
        names, why = _service_names(sold, products)
        rules = replace(rules, exclude_categories=names)
        found += why
    if rules.detect_services and not rules.product_pattern:
        pattern, why = _service_codes(sold)
        rules = replace(rules, product_pattern=pattern)
        found += why
    if not rules.goods_quantity:
        cap = _quantity_cap(sold.filter(_merchandise(sold, products, rules)))
        rules = replace(rules, goods_quantity=(_smallest(sold), cap))
        found.append(
            f"goods rows have a quantity of {rules.goods_quantity[0]:g} to {cap:g}: ten times the 99.9 % quantile"
        )
    return Rules(replace(rules, detect_services=False), tuple(found))


def _merchandise(events: pl.DataFrame, products: pl.DataFrame, rules: CleaningConfig) -> pl.Series:
    """Which rows are merchandise with a plausible quantity and price, whatever their type."""
    quantity = pl.col(schema.QUANTITY).fill_null(1.0)
    good = pl.col(schema.PRODUCT).is_not_null() & quantity.is_finite()
    if rules.goods_quantity:
        good &= quantity.is_between(rules.goods_quantity[0], rules.goods_quantity[1])
    if rules.product_pattern:
        good &= pl.col(schema.PRODUCT).str.contains(rules.product_pattern)
    if rules.positive_price:
        # Goods may be free of charge after discounts: the shelf price decides, and only where one is known.
        good &= (shelf_price() > 0).fill_null(value=False) | (
            pl.col(schema.PRICE).is_null() & pl.col(schema.AMOUNT).is_null()
        )
    found = events.select(good=good.fill_null(value=False))["good"]
    excluded = _excluded(products, rules.exclude_categories)
    if len(excluded):
        found &= ~events[schema.PRODUCT].is_in(excluded.implode()).fill_null(value=False)
    return found


def _excluded(products: pl.DataFrame, names: tuple[str, ...]) -> pl.Series:
    """Ids of products with one of the names as category, at any level, or as title."""
    if not names or not len(products):
        return pl.Series(schema.PRODUCT, [], dtype=pl.Utf8)
    lower = [name.lower() for name in names]
    category = (
        pl.col(schema.CATEGORY).list.eval(pl.element().str.strip_chars().str.to_lowercase().is_in(lower)).list.any()
    )
    title = pl.col(schema.TITLE).str.strip_chars().str.to_lowercase().is_in(lower)
    return products.filter(category.fill_null(value=False) | title.fill_null(value=False))[schema.PRODUCT]


def _catalogued(events: pl.DataFrame, products: pl.DataFrame) -> pl.Series:
    if not len(products):
        return pl.Series([True]).new_from_index(0, len(events))
    return events[schema.PRODUCT].is_in(products[schema.PRODUCT].implode()).fill_null(value=False)


def _service_names(sold: pl.DataFrame, products: pl.DataFrame) -> tuple[tuple[str, ...], list[str]]:
    levels = products.select(schema.PRODUCT, schema.CATEGORY).explode(schema.CATEGORY).drop_nulls()
    names = levels[schema.CATEGORY].unique().sort()
    by_name = names.filter(names.str.to_lowercase().str.contains(SERVICE_WORDS)).to_list()
    titles = products[schema.TITLE].drop_nulls().str.strip_chars().unique().sort()
    by_title = titles.filter(titles.str.to_lowercase().str.contains(SERVICE_TITLES)).to_list()
    lines = sold.select(schema.PRODUCT, schema.QUANTITY).drop_nulls().filter(pl.col(schema.QUANTITY) > 0)
    usual = lines[schema.QUANTITY].median()
    by_quantity: list[str] = []
    if isinstance(usual, float) and len(levels):
        medians = (
            lines.join(levels, on=schema.PRODUCT)
            .group_by(schema.CATEGORY)
            .agg(pl.col(schema.QUANTITY).median(), pl.len())
        )
        odd = (pl.col(schema.QUANTITY) > ODD_CATEGORY * usual) & (pl.col("len") >= 10)
        by_quantity = sorted(set(medians.filter(odd)[schema.CATEGORY]) - set(by_name))
    why = [f"{_listed(by_name)} by the name are no merchandise"] if by_name else []
    why += [f"{_listed(by_title)} by the title are no merchandise"] if by_title else []
    why += [f"{_listed(by_quantity)} by quantities far from the usual are no merchandise"] if by_quantity else []
    return tuple(sorted({*by_name, *by_title, *by_quantity})), why


def _service_codes(sold: pl.DataFrame) -> tuple[str, list[str]]:
    ids = sold[schema.PRODUCT].drop_nulls().value_counts(name="rows")
    for pattern, words in _SHAPES:
        other = ids.filter(~pl.col(schema.PRODUCT).str.contains(pattern))
        share = 1 - int(other["rows"].sum()) / max(1, int(ids["rows"].sum()))
        if len(other) == 0:
            return "", []
        if share >= DOMINANT_ROWS and len(other) <= ODD_IDS * len(ids):
            some = other.sort("rows", schema.PRODUCT, descending=[True, False])[schema.PRODUCT].to_list()
            return pattern, [f"{share:.1%} of the rows have ids that {words}; {_listed(some)} are no merchandise"]
    return "", []


def _quantity_cap(goods: pl.DataFrame) -> float:
    """Ten times the 99.9 % quantile, rounded up to one digit; in small tables the 99 % quantile bounds that one.

    So neither a typing error nor a handful of them can move it.
    """
    quantity = goods[schema.QUANTITY].fill_null(1.0)
    rare, high = quantity.quantile(0.999, "lower"), quantity.quantile(0.99, "lower")
    if rare is None or high is None or high <= 0:
        return 100.0
    wanted = 10.0 * min(rare, 10.0 * high)
    unit = 10.0 ** (len(str(int(wanted))) - 1)
    return float(-(-wanted // unit) * unit)


def _smallest(sold: pl.DataFrame) -> float:
    """1 where quantities are counts; as little as a gram where most are not (goods sold by weight)."""
    quantity = sold[schema.QUANTITY].drop_nulls()
    fractions = ((quantity % 1.0) != 0).mean()
    return 0.001 if isinstance(fractions, float) and fractions > 0.01 else 1.0


def _listed(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
