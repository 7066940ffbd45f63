"""Questions that arrive while others are being answered are answered together: a batch of two is cheaper than two.

Under light load nothing waits; under heavy load the batches grow and the time per answer falls, so that a service
keeps up for longer and its slowest answers stay quick.
"""

# Shapes: B cases, k list length

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from shoploom.tasks.base import Cases, Ranked

MOST = 16
"""Questions in a batch at most: nobody should wait for a long one."""


class _Asked:
    """A question and, later, its answer or what went wrong."""

    def __init__(self, cases: Cases) -> None:
        self.cases = cases
        self.answer: Ranked | None = None
        self.error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.answer is not None or self.error is not None

    def goes_with(self, other: _Asked) -> bool:
        """Whether both can be asked in one batch."""
        mine, its = self.cases, other.cases
        return mine.k == its.k and mine.repeats == its.repeats and mine.allowed is its.allowed


class Batching:
    """Asks one at a time, and all that wait alike at once.

    Args:
        ask: Answers a batch of ranking cases with moments; only called by one thread at a time.

    Example:
        >>> batching = Batching(lambda cases: member.predict(shop, cases))  # doctest: +SKIP
    """

    def __init__(self, ask: Callable[[Cases], Ranked]) -> None:
        self._ask = ask
        self._turn = threading.Lock()
        self._waiting: list[_Asked] = []
        self._guard = threading.Lock()

    def __call__(self, cases: Cases) -> Ranked:
        """The answer to one case; raises what answering it raised."""
        mine = _Asked(cases)
        with self._guard:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                self._answer(self._batch(mine))
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None
        return mine.answer

    def _batch(self, mine: _Asked) -> list[_Asked]:
        """A question with those that wait and go with it, the longest-waiting ones first; they wait no more."""
        with self._guard:
            others = [one for one in self._waiting if one is not mine and one.goes_with(mine)]
            chosen = [mine, *others[: MOST - 1]]
            self._waiting = [one for one in self._waiting if one not in chosen]
        return chosen

    def _answer(self, batch: Sequence[_Asked]) -> None:
        try:
            found = self._ask(_joined([one.cases for one in batch]))
        except Exception as error:  # noqa: BLE001 - raised again where the question was asked
            if len(batch) == 1:
                batch[0].error = error
                return
            for one in batch:  # each by itself, so that nobody suffers from another's question
                self._answer([one])
            return
        for number, one in enumerate(batch):
            one.answer = Ranked(found.items[number : number + 1], found.scores[number : number + 1])


def _joined(cases: Sequence[Cases]) -> Cases:
    units = np.concatenate([one.units for one in cases])
    whens = [one.when for one in cases]
    assert all(one is not None for one in whens), "questions of visitors have a moment"
    return replace(cases[0], units=units, when=np.concatenate([one for one in whens if one is not None]))
