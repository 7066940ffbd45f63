"""From feature arrays to the tensors that ``MultiTaskModel`` reads."""

# Shapes: n items, U distinct items, B customers, T visits, Q moments, E queries, M candidates, D width

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoploom.data.arrays import F64
from shoploom.features.candidates import Candidates
from shoploom.features.pipeline import VisitArrays
from shoploom.model.encoders.customer import VisitBatch
from shoploom.model.heads.ranking import CandidateBatch


def visit_batch(visits: VisitArrays, as_of: F64, vectors: Tensor, places: Tensor) -> VisitBatch:
    """Visits with the mean vector of their items.

    Args:
        visits: Of B customers.
        as_of: (B, Q) days relative to the shop's end.
        vectors: (U, D) item vectors.
        places: (lines,) position in ``vectors`` of each line's item.
    """
    shape, device = visits.time.shape, vectors.device
    where = torch.from_numpy(visits.line_place).to(device)
    counts = torch.bincount(where, minlength=shape[0] * shape[1]).clamp(min=1)
    sums = vectors.new_zeros(shape[0] * shape[1], vectors.shape[1]).index_add(0, where, vectors[places])
    return VisitBatch(
        vectors=(sums / counts[:, None]).view(*shape, -1),
        numbers=torch.from_numpy(visits.numbers).to(device),
        time=torch.from_numpy(visits.time.astype(np.float32)).to(device),
        amount=torch.from_numpy(visits.amount).to(device),
        as_of=torch.from_numpy(as_of.astype(np.float32)).to(device),
    )


def candidate_batch(candidates: Candidates, device: torch.device) -> CandidateBatch:
    """The arrays as tensors on a device."""

    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return CandidateBatch(
        valid=tensor(candidates.items >= 0),
        static=tensor(candidates.static),
        line_age=tensor(candidates.line_age),
        item_slot=tensor(candidates.item_slot),
        group_slots=tuple(tensor(one) for one in candidates.group_slots),
        candidate_slot=tensor(candidates.candidate_slot),
        candidate_groups=tuple(tensor(one) for one in candidates.candidate_groups),
        num_slots=candidates.num_slots,
        num_groups=candidates.num_groups,
    )


class ItemUse:
    """The distinct items of a batch, so that each is encoded once; ``place`` looks rows up in it.

    Args:
        rows: (U,) ascending.
    """

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self._places = np.zeros(int(rows[-1]) + 1 if len(rows) else 0, dtype=np.int64)
        self._places[rows] = np.arange(len(rows))

    @classmethod
    def of(cls, *uses: NDArray[np.integer]) -> ItemUse:
        """All items (rows of -1 count as item 0)."""
        used = np.zeros(max((int(one.max(initial=0)) for one in uses), default=0) + 1, dtype=bool)
        used[0] = True
        for one in uses:
            used[np.maximum(one, 0)] = True
        return cls(np.flatnonzero(used))

    def place(self, items: NDArray[np.integer], device: torch.device | None = None) -> Tensor:
        """Positions in ``rows``, in the shape of ``items``; every item must be one of them, or -1."""
        return torch.from_numpy(self._places[np.maximum(items, 0)]).to(device)
