"""The shared models behind serving members, each once: what they keep of a catalogue must follow its changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.fused import Fused
from shoploom.ensemble.fusion import Blend

if TYPE_CHECKING:
    from shoploom.ensemble.members.shared import SharedAnswers

SHARED, SPECIALIST = "shared", "specialist"


def reread(members: Iterable[object], shop: ShopArrays, row: int, *, shelf_price: float) -> None:
    """``SharedAnswers.reread`` for all shared models behind some members; blends and ensembles are looked into."""
    for answers in _shared(members):
        answers.reread(shop, row, shelf_price=shelf_price)


def remember(members: Iterable[object], shop: ShopArrays) -> None:
    """``SharedAnswers.remember`` for all of them."""
    for answers in _shared(members):
        answers.remember(shop)


@contextmanager
def undisturbed(members: Iterable[object], shop: ShopArrays) -> Iterator[None]:
    """``SharedAnswers.undisturbed`` for all of them."""
    with ExitStack() as stack:
        for answers in _shared(members):
            stack.enter_context(answers.undisturbed(shop))
        yield


def _shared(members: Iterable[object]) -> list[SharedAnswers]:
    """Each of the models once; members of a version share one."""
    return list({id(one): one for one in _each(members)}.values())


def _each(members: Iterable[object]) -> Iterator[SharedAnswers]:
    for one in members:
        if isinstance(one, Blend):
            yield from _each((one.first, one.second))
        elif isinstance(one, Fused):
            yield from _each(one.members.values())
        elif getattr(one, "name", None) == SPECIALIST:
            yield from _each((one.shared,))  # type: ignore[attr-defined]
        elif getattr(one, "name", None) == SHARED:  # so its module is loaded already
            from shoploom.ensemble.members.shared import Shared

            if isinstance(one, Shared) and one.answers is not None:
                yield one.answers
