"""Sequences of items: what each customer or each anonymous session touched, oldest first."""

# Shapes: S sequences, N events of all sequences, I items

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32
from shoploom.errors import DataError


@dataclass(frozen=True)
class Sequences:
    """Item rows of all sequences, one after the other.

    Args:
        items: (N,) item rows, 0 to ``num_items - 1``.
        offsets: (S + 1,) sequence s is ``items[offsets[s]:offsets[s + 1]]``.
        num_items: I.
        time: (N,) moment of each event in days, None where only the order is known.
        fields: (I, F) codes of each item's attributes, -1 where it has fewer; None where nothing is known.
    """

    items: I32
    offsets: NDArray[np.int64]
    num_items: int
    time: F64 | None = None
    fields: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of_lists(cls, lists: Sequence[Sequence[int]], num_items: int) -> Sequences:
        """From one list of item rows per sequence.

        Raises:
            DataError: If a row is not that of an item.

        Example:
            >>> Sequences.of_lists([[0, 2], [], [1]], num_items=3).offsets.tolist()
            [0, 2, 2, 3]
        """
        items = np.array([item for one in lists for item in one], dtype=np.int32)
        if len(items) and not 0 <= items.min() <= items.max() < num_items:
            raise DataError(f"item rows go from 0 to {num_items - 1}, found {items.min()} to {items.max()}")
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        return cls(items, offsets, num_items)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(S,) number of events."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> NDArray[np.int64]:
        """(N,) sequence of each event."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def ages(self) -> NDArray[np.int64]:
        """(N,) place of each event from the end of its sequence, the last one being 0."""
        return np.repeat(self.offsets[1:], self.lengths) - 1 - np.arange(len(self.items))

    def take(self, rows: NDArray[np.integer]) -> Sequences:
        """Some of the sequences."""
        sizes = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        return replace(
            self, items=self.items[flat], offsets=offsets, time=None if self.time is None else self.time[flat]
        )

    def last(self, most: int) -> Sequences:
        """The last events of each sequence."""
        kept = self.ages < most
        offsets = np.concatenate([[0], np.cumsum(np.minimum(self.lengths, most))]).astype(np.int64)
        return replace(
            self, items=self.items[kept], offsets=offsets, time=None if self.time is None else self.time[kept]
        )

    def windows(self, most: int) -> Sequences:
        """Long sequences cut into parts of at most ``most`` events, from the end.

        The last event of a part is the first one of the next, so that every event but the first has one before it in
        just one part.

        Example:
            >>> parts = Sequences.of_lists([[0, 1, 2, 3]], num_items=4).windows(3)
            >>> parts.items.tolist(), parts.offsets.tolist()
            ([0, 1, 1, 2, 3], [0, 2, 5])
        """
        parts = np.maximum(1, -(-(self.lengths - 1) // (most - 1)))
        owner = np.repeat(np.arange(len(self)), parts)
        later = np.cumsum(parts)[owner] - 1 - np.arange(len(owner))
        end = self.offsets[1:][owner] - later * (most - 1)
        start = np.maximum(self.offsets[:-1][owner], end - most)
        offsets = np.concatenate([[0], np.cumsum(end - start)]).astype(np.int64)
        flat = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], end - start)
        return replace(
            self, items=self.items[flat], offsets=offsets, time=None if self.time is None else self.time[flat]
        )

    def asked_for_the_last(self) -> tuple[Sequences, I32]:
        """Sequences of two events or more without their last one, and those last ones: questions and their answers."""
        long = self.take(np.flatnonzero(self.lengths > 1))
        kept = long.ages > 0
        rest = replace(
            long,
            items=long.items[kept],
            offsets=long.offsets - np.arange(len(long.offsets)),
            time=None if long.time is None else long.time[kept],
        )
        return rest, long.items[~kept]

    def every_question(self) -> tuple[Sequences, I32]:
        """Every prefix of every sequence and the event after it: (questions, N - S) questions and their answers."""
        inside = self.ages > 0
        step = np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.lengths)
        sizes = (step + 1)[inside]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        first = (np.arange(len(self.items)) - step)[inside]
        flat = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], sizes)
        asked = replace(
            self, items=self.items[flat], offsets=offsets, time=None if self.time is None else self.time[flat]
        )
        return asked, self.items[np.flatnonzero(inside) + 1]

    def without_last(self, rows: NDArray[np.integer]) -> Sequences:
        """All sequences, some of them without their last event."""
        kept = np.ones(len(self.items), dtype=bool)
        kept[self.offsets[1:][rows] - 1] = False
        sizes = np.bincount(self.owners[kept], minlength=len(self))
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return replace(
            self, items=self.items[kept], offsets=offsets, time=None if self.time is None else self.time[kept]
        )

    def blocks(self, size: int) -> Iterator[tuple[int, Sequences]]:
        """Consecutive parts and where each begins."""
        for start in range(0, len(self), size):
            yield start, self.take(np.arange(start, min(start + size, len(self))))
