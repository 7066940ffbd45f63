"""Price: what a product would usually cost on the shelf, judged by its category, brand and text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shoploom.apps.products import shelf_price
from shoploom.data import schema
from shoploom.inference.engine import Engine


def price(engine: Engine, product_id: str) -> dict[str, Any]:
    """The model's price of a known product beside its usual shelf price.

    Raises:
        NotFoundError: If the product is unknown or the shop's data cannot feed the task.
    """
    served = engine.current
    row = served.state.known_product(product_id)
    answer = served.predict("price", [row])[0]
    return {
        "model_version": served.version,
        "product_id": product_id,
        "title": served.state.catalogue.title(row),
        "currency": engine.workspace.config.shop.currency,
        "served_by": type(served.members["price"]).name,
        **{name: round(value, 2) for name, value in answer.items()},
        "shelf_price": shelf_price(served.state, row),
    }


def price_or_quote(engine: Engine, product: Mapping[str, Any]) -> dict[str, Any]:
    """``price`` for a product of the catalogue that only its id is given of, else ``quote``.

    Raises:
        NotFoundError: If there is nothing but an id, and it is unknown.
    """
    one = product.get(schema.PRODUCT)
    return price(engine, str(one)) if one is not None and len(product) == 1 else quote(engine, product)


def quote(engine: Engine, product: Mapping[str, Any]) -> dict[str, Any]:
    """The price of a product that the shop does not have yet, from its columns.

    Args:
        engine: The serving engine.
        product: Canonical product columns; the more the better. A given price is not looked at.
    """
    served = engine.current
    columns = {name: value for name, value in product.items() if name != schema.PRICE}
    if columns.get(schema.ATTRIBUTES) is not None:
        columns[schema.ATTRIBUTES] = json.dumps(columns[schema.ATTRIBUTES], ensure_ascii=False)
    answer = served.quote(columns)
    return {
        "model_version": served.version,
        "currency": engine.workspace.config.shop.currency,
        "served_by": type(served.members["price"]).name,
        **{name: round(value, 2) for name, value in answer.items()},
    }
