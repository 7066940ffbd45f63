"""Quality beyond accuracy in words: how each metric of ``evaluation.beyond`` is called, shown and defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shoploom.evaluation.numbers import number, percent

DEPTH: Final = 10
"""Places of a list that are looked at where a metric does not say otherwise."""


@dataclass(frozen=True)
class Definition:
    """One metric of lists.

    Args:
        group: Which question it belongs to.
        heading: Above its column.
        text: What it is, in a sentence or two.
        show: How a value is written.
    """

    group: str
    heading: str
    text: str
    show: Callable[[float | None], str]


def share(value: float | None) -> str:
    """A share of 1 as a percentage with three significant digits.

    Example:
        >>> share(0.0123), share(1.0), share(None)
        ('1.23 %', '100 %', '–')
    """
    if value is None:
        return number(value)
    return "100 %" if value == 1 else f"{number(100 * value)} %"


def change(value: float | None) -> str:
    """A relative change as a signed percentage; one without decimals from 10 % on.

    Example:
        >>> change(0.52), change(-0.034), change(7.0)
        ('+52 %', '−3.4 %', '+700 %')
    """
    if value is None:
        return number(value)
    return f"{'−' if value < 0 else '+'}{abs(100 * value):,.0f} %" if abs(value) >= 0.1 else percent(100 * value)


CATALOGUE, NOVELTY, VARIETY, POPULARITY = "catalogue", "what is new", "variety", "popularity"
DEFINITIONS: Final = {
    "coverage@10": Definition(
        CATALOGUE, "coverage @10", "Share of the sellable products that stand among anybody's first 10.", share
    ),
    "coverage@20": Definition(CATALOGUE, "coverage @20", "The same among anybody's first 20.", share),
    "gini@10": Definition(
        CATALOGUE,
        "Gini",
        "How unequally places are dealt out among the sellable products: 0 all are shown equally often, 1 only one is.",
        number,
    ),
    "top_10_share@10": Definition(
        CATALOGUE, "top ten", "Share of all places that the ten most shown products take.", share
    ),
    "novelty@10": Definition(
        NOVELTY,
        "novelty",
        "Mean of −log2 of the share of customers who ever bought a shown product, in bits: 1 where half of them did, "
        "10 where one in a thousand did.",
        number,
    ),
    "never_bought@10": Definition(
        NOVELTY, "never bought", "Share of places with a product that the customer had never bought.", share
    ),
    "serendipity@10": Definition(
        NOVELTY,
        "serendipity",
        "Share of places with a hit that a list of best sellers would not have shown among its first 10.",
        share,
    ),
    "category_diversity@10": Definition(
        VARIETY,
        "by category",
        "How far apart two products of a list are on average: 0 the same category, 1 nothing in common from the "
        "coarsest level on.",
        number,
    ),
    "vector_diversity@10": Definition(
        VARIETY,
        "by vectors",
        "The same by the shared model's item vectors, 1 − cosine: 0 alike, 1 unrelated.",
        number,
    ),
    "category_divergence@10": Definition(
        VARIETY,
        "off mix",
        "Kullback-Leibler divergence of the list's categories from those of the customer's purchases: 0 the same mix, "
        "4.6 nothing in common.",
        number,
    ),
    "average_popularity@10": Definition(
        POPULARITY, "average", "Share of customers who ever bought a shown product, averaged over places.", share
    ),
    "popularity_lift@10": Definition(
        POPULARITY,
        "lift",
        "How much more popular what is shown is than what these customers then bought: +50 % is half as much again.",
        change,
    ),
    "long_tail@10": Definition(
        POPULARITY,
        "long tail",
        "Share of places with a product outside the best sellers that make 80 % of sales.",
        share,
    ),
}
"""By the metric's name in ``report.json``."""
