"""Which products the promotion plan promotes at a moment, until when, and how."""

# Shapes: P plan rows, n promoted items, R running rows of the plan

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoploom.data.arrays import F64, Plan
from shoploom.data.keys import Rows, group_starts


@dataclass(frozen=True)
class Running:
    """The promotions that run at one moment.

    Args:
        plan: The whole plan.
        rows: (R,) its running rows, by item.
        starts: (n,) where each item's rows begin.
        items: (n,) promoted items, ascending.
        share: (n,) largest share of the stores that promote each.
    """

    plan: Plan
    rows: Rows
    starts: Rows
    items: Rows
    share: F64

    @classmethod
    def at(cls, plan: Plan, when: float) -> Running:
        """What runs on a day: started, not over, in at least one store."""
        rows = np.flatnonzero((plan.start <= when) & (when < plan.end) & (plan.share > 0))
        rows = rows[np.argsort(plan.item[rows], kind="stable")]
        starts = group_starts(plan.item[rows])
        share = np.maximum.reduceat(plan.share[rows], starts) if len(starts) else np.zeros(0)
        return cls(plan, rows, starts, plan.item[rows[starts]].astype(np.int64), share.astype(np.float64))

    def of(self, item: int) -> tuple[float, list[str], float]:
        """The day on which the last promotion of a promoted item ends, their kinds, and the largest share of stores."""
        place = int(np.searchsorted(self.items, item))
        ends = [*self.starts[place + 1 : place + 2].tolist(), len(self.rows)]
        own = self.rows[self.starts[place] : ends[0]]
        kinds = sorted({self.plan.kinds[kind] for kind in self.plan.kind[own].tolist()})
        return float(self.plan.end[own].max()), kinds, float(self.share[place])
