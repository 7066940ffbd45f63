"""A made-up table with known answers, for tests of everything that reads tables."""

from __future__ import annotations

import numpy as np
import polars as pl

LABELS = ("kind", "dear", "season")


def made_table(number: int = 400, seed: int = 0) -> pl.DataFrame:
    """Goods: the title names the kind, dear is a price above 50 in some shops only, the season follows a token."""
    draws = np.random.default_rng(seed)
    kind = draws.choice(["mug", "shirt", "lamp"], number, p=[0.6, 0.3, 0.1])
    price = draws.gamma(2.0, 25.0, number)
    shop = draws.choice(["north", "south"], number)
    season = draws.choice(["Summer", "Winter"], number)
    cloth = np.where(season == "Summer", "linen", "wool")
    numbers = draws.integers(1000, size=number)
    titles = [f"{c} {k} number {n} for you" for c, k, n in zip(cloth, kind, numbers, strict=True)]
    frame = pl.DataFrame(
        {
            "id": np.arange(number),
            "title": titles,
            "shop": shop,
            "price": np.where(draws.random(number) < 0.1, np.nan, price),
            "pieces": draws.integers(1, 5, number),
            "constant": ["same"] * number,
            "kind": kind,
            "dear": ((price > 50) & (shop == "north")).astype(int),
            "season": season,
        }
    )
    # A fifth of the seasons is unknown.
    return frame.with_columns(season=pl.when(pl.col("id") % 5 == 0).then(None).otherwise("season"))
