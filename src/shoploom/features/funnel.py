"""Features of impressions as of their moment: how far customer, item, category and pairs of them went before.

The same object answers for training and for serving: it is made from a log, and asked about impressions at any time; an
impression sees only what was strictly before it. A click counts from the moment of the click, not of its impression.
"""

# Shapes: n impressions asked about, m impressions of the log, S stages, P positions

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64
from shoploom.data.impressions import ImpressionLog, Impressions
from shoploom.errors import DataError
from shoploom.features.as_of import Past, smoothed_rate

STRENGTH = {"customer": 20.0, "item": 50.0, "category": 100.0, "customer_category": 20.0, "customer_item": 5.0}
NEVER = 60.0
"""Days since something that never happened, and the most that count: longer is the same."""
WINDOW_DAYS = 7.0


class FunnelFeatures:
    """Counts, smoothed rates and recencies of a log.

    The rate of the first stage is taken over exposure, the sum of the examination chances of the positions: an item
    that was shown far down is not held to be dull. Later stages are rates of the stage before. Rates are smoothed to
    the overall rate of the log (a number of the training period, not as of the moment), and given as logits. Exposure
    itself is counted over the last ``WINDOW_DAYS``: a count since the beginning grows for ever, and a model would be
    asked about larger ones than it has seen.

    Args:
        log: What had happened.
        theta: (P,) chance that a position is examined; None: all are.
        overall: (S,) rates to smooth to; None: the log's own. Whoever goes on with a longer log gives the ones that
            the model was trained with.
        without: Keys of ``STRENGTH`` to leave out.
    """

    def __init__(
        self,
        log: ImpressionLog,
        *,
        theta: F64 | None = None,
        overall: F64 | None = None,
        without: Sequence[str] = (),
    ) -> None:
        unknown = set(without) - set(STRENGTH)
        if unknown:
            raise DataError(f"no such keys to leave out: {sorted(unknown)}; there are {', '.join(STRENGTH)}")
        self.stages, self.sizes = log.stages, log.sizes
        self.keys = [name for name in STRENGTH if name not in without]
        exposure = np.ones(len(log)) if theta is None else theta[np.clip(log.position, 0, len(theta) - 1)]
        exposure = np.where(log.position < 0, 1.0, exposure)
        reached = np.isfinite(log.stage_time)
        shown = np.concatenate([[exposure.sum()], reached.sum(axis=0)])
        rates = smoothed_rate(shown[1:], np.maximum(shown[:-1], shown[1:]), 0.1, strength=1.0)
        self.overall = rates if overall is None else overall
        self.past: dict[str, list[Past]] = {}
        for name in self.keys:
            key = self._key(name, log.customer, log.item, log.category)
            parts = [Past(key, log.time, exposure[:, None])]
            for place in range(len(self.stages)):
                rows = reached[:, place]
                parts.append(Past(key[rows], log.stage_time[rows, place]))
            self.past[name] = parts

    @property
    def names(self) -> tuple[str, ...]:
        """Of the numbers, in order."""
        found = []
        for name in self.keys:
            found += [f"{name}_exposure", *(f"{name}_{stage}_rate" for stage in self.stages), f"{name}_since"]
            if name.startswith("customer"):
                found.append(f"{name}_since_{self.stages[0]}")
        return (*found, "hour_sin", "hour_cos", "weekday_sin", "weekday_cos")

    def numbers(self, asked: ImpressionLog) -> F32:
        """(n, G) of each impression as of its time; its own outcome is not looked at."""
        columns: list[NDArray[Any]] = []
        for name in self.keys:
            key = self._key(name, asked.customer, asked.item, asked.category)
            shown, *reached = self.past[name]
            before = shown.total(key, asked.time)[:, 0]
            columns.append(np.log1p(shown.total(key, asked.time, window=WINDOW_DAYS)[:, 0]))
            for place, past in enumerate(reached):
                count = past.total(key, asked.time)[:, 0]
                rate = smoothed_rate(
                    count, np.maximum(before, count), self.overall[place], strength=STRENGTH[name] * 2.0**-place
                )
                rate = np.clip(rate, 1e-6, 1 - 1e-6)
                columns.append(np.log(rate) - np.log1p(-rate))
                before = count
            columns.append(np.fmin(shown.since(key, asked.time), NEVER))
            if name.startswith("customer"):
                columns.append(np.fmin(reached[0].since(key, asked.time), NEVER))
        for cycle in (1.0, 7.0):
            angle = 2 * np.pi * np.mod(asked.time, cycle) / cycle
            columns += [np.sin(angle), np.cos(angle)]
        return np.column_stack(columns).astype(np.float32)

    def impressions(self, asked: ImpressionLog, *, matured: F32 | None = None) -> Impressions:
        """The impressions with codes, numbers and what is known of their outcome.

        Args:
            asked: Need not be of the log.
            matured: (n, S) see ``Impressions``.
        """
        codes = [asked.customer, asked.item, asked.category, *(codes for codes, _ in asked.extra.values())]
        sizes = (*asked.sizes, *(size for _, size in asked.extra.values()))
        return Impressions(
            asked.stages,
            np.column_stack(codes).astype(np.int32),
            ("customer", "item", "category", *asked.extra),
            sizes,
            np.concatenate([self.numbers(asked), *(one[:, None] for one in asked.numbers.values())], axis=1),
            (*self.names, *asked.numbers),
            np.isfinite(asked.stage_time).astype(np.float32),
            asked.position,
            asked.time,
            matured,
            asked.examined,
            tuple(name for name in self.names if name.endswith(("_rate", "_exposure", f"_since_{self.stages[0]}"))),
        )

    def _key(self, name: str, customer: NDArray[Any], item: NDArray[Any], category: NDArray[Any]) -> NDArray[np.int64]:
        parts = {"customer": customer, "item": item, "category": category}
        size = {"item": self.sizes[1], "category": self.sizes[2]}
        first, _, second = name.partition("_")
        key = np.asarray(parts[first], dtype=np.int64)
        return key * size[second] + parts[second] if second else key
