"""Watches which experts the gates of the trunks use."""

# Shapes: E experts

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shoploom.model.experts import balance
from shoploom.model.sharing.base import Sharing


@dataclass
class GateUse:
    """How one task's gate spread its cases.

    Args:
        experts: Names of the E experts.
        total: (E,) sum of the shares over all cases.
        cases: Their number.
    """

    experts: tuple[str, ...]
    total: Tensor
    cases: int = 0

    @property
    def shares(self) -> list[float]:
        """Mean share of each expert; they add up to 1."""
        return [float(one) for one in self.total / max(1, self.cases)]

    @property
    def balance(self) -> float:
        """1: all experts are used alike; 0: one has everything, the gate has collapsed."""
        return balance(self.total / max(1, self.cases))


@contextmanager
def watched(trunks: nn.ModuleDict) -> Iterator[dict[str, GateUse]]:
    """Fills a dict by task while its trunks work; tasks without gates do not appear."""
    found: dict[str, GateUse] = {}

    def hear(trunk: nn.Module, given: tuple[Tensor, str], viewed: Tensor) -> None:
        assert isinstance(trunk, Sharing)
        x, task = given
        with torch.no_grad():
            gates = trunk.gates(x, task)
        if gates is None:
            return
        use = found.setdefault(task, GateUse(trunk.experts(task), torch.zeros(gates.shape[-1], dtype=torch.float64)))
        flat = gates.flatten(0, -2)
        use.total += flat.double().sum(dim=0).cpu()
        use.cases += len(flat)

    handles = [one.register_forward_hook(hear) for one in trunks.values()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
