"""What the shared model keeps of a shop: one product can be read again, and a made-up one leaves no trace.

The model encodes a catalogue once and keeps the vectors for as long as the shop's events are the same. Members that
read the catalogue with every answer need nothing of this.
"""

# Shapes: I items, N tokens

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.fusion import Blend
from shoploom.features.items import ItemArrays

if TYPE_CHECKING:
    from shoploom.ensemble.members.shared import SharedAnswers


SHARED = "shared"


def reread(members: Iterable[object], shop: ShopArrays, row: int, *, shelf_price: float) -> None:
    """Replace the features and the vector of one product in all shared models behind some members.

    Args:
        members: Blends are looked into.
        shop: With the changed catalogue.
        row: The product.
        shelf_price: What it usually costs, NaN where unknown; it counts more than the catalogue's price.
    """
    for answers in _shared(members):
        _reread(answers, shop, row, shelf_price)


@contextmanager
def undisturbed(members: Iterable[object], shop: ShopArrays) -> Iterator[None]:
    """Let shared models be asked about another shop inside the block, and know this one at once after it."""
    found = _shared(members)
    for answers in found:
        answers.prepared(shop)  # else they would take the other shop for the one to keep
    kept = [answers._grown for answers in found]
    yield
    for answers, grown in zip(found, kept, strict=True):
        answers._grown = grown


def replaced(arrays: ItemArrays, row: int, one: ItemArrays) -> ItemArrays:
    """The catalogue with another product at a row; ``one`` holds just that product."""
    start, end = (int(place) for place in arrays.token_offsets[row : row + 2])
    ragged = {"tokens", "token_weights"}
    parts = {}
    for name in (field.name for field in fields(ItemArrays) if field.name != "token_offsets"):
        old, new = getattr(arrays, name), getattr(one, name)
        if name in ragged:
            parts[name] = np.concatenate([old[:start], new, old[end:]])
        else:
            parts[name] = old.copy()
            parts[name][row] = new[0]
    offsets = arrays.token_offsets.copy()
    offsets[row + 1 :] += len(one.tokens) - (end - start)
    return ItemArrays(token_offsets=offsets, **parts)


def _reread(answers: SharedAnswers, shop: ShopArrays, row: int, shelf_price: float) -> None:
    import torch

    with answers._lock, torch.no_grad():
        view, vectors = answers._view, answers._vectors
        if view is None or vectors is None or row >= view.num_items:
            return  # not read yet; or added later, and read anew with every change of the catalogue
        price = None if np.isnan(shelf_price) else np.array([shelf_price])
        view = copy(view)
        view.item_arrays = replaced(
            view.item_arrays, row, view.pipeline.items.rows(shop.catalogue[row : row + 1], price)
        )
        vectors = vectors.clone()  # an answer in the making keeps the old ones
        vectors[row] = answers._encoded(view, np.array([row]))[0]
        answers._view, answers._vectors, answers._grown = view, vectors, None


def _shared(members: Iterable[object]) -> list[SharedAnswers]:
    """Each of the models once; members of a version share one."""
    return list({id(one): one for one in _each(members)}.values())


def _each(members: Iterable[object]) -> Iterator[SharedAnswers]:
    for one in members:
        if isinstance(one, Blend):
            yield from _each((one.first, one.second))
        elif getattr(one, "name", None) == SHARED:  # so its module is loaded already
            from shoploom.ensemble.members.shared import Shared

            if isinstance(one, Shared) and one.answers is not None:
                yield one.answers
