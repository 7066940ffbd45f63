"""Several small networks as one batched computation: their weights are stacked, and no loop runs over them."""

# Shapes: ... any leading dimensions, D width, E experts, H hidden width, G groups of experts

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CACHE_NUMBERS = 2**19
"""Hidden values that are computed at once: 2 MiB of them stay in a core's cache, which is worth a fifth of the time."""


class Experts(nn.Module):
    """A group of E networks D -> H -> D with one GELU layer; ``run_experts`` computes any number of groups at once.

    Args:
        num: E.
        dim: Width D of input and output.
        hidden: H.

    Raises:
        ValueError: If a number is below 1.
    """

    def __init__(self, num: int, dim: int, *, hidden: int) -> None:
        super().__init__()
        if min(num, dim, hidden) < 1:
            raise ValueError(f"wanted one expert or more, of widths above 0; got {num} of {dim} -> {hidden} -> {dim}")
        self.num = num
        self.dim = dim
        self.hidden = hidden
        self.first = nn.Parameter(_uniform(num, hidden, dim, fan_in=dim))
        self.first_bias = nn.Parameter(_uniform(num, hidden, fan_in=dim))
        self.second = nn.Parameter(_uniform(num, hidden, dim, fan_in=hidden))
        self.second_bias = nn.Parameter(_uniform(num, dim, fan_in=hidden))


def run_experts(groups: Sequence[Experts], x: Tensor, *, dropout: float = 0.0) -> Tensor:
    """What all experts of some groups say of one input: two products of matrices, however many experts.

    Args:
        groups: Of the same widths.
        x: (..., D).
        dropout: Share of hidden values left out at random; 0 when not training.

    Returns:
        (..., E, D), E over all groups in their order.
    """
    num, hidden, dim = sum(one.num for one in groups), groups[0].hidden, groups[0].dim
    first, second = _joined(groups, "first"), _joined(groups, "second")
    flat = functional.linear(x.reshape(-1, dim), first.view(num * hidden, dim), _joined(groups, "first_bias").view(-1))
    return _second(flat.view(-1, num, hidden), second, _joined(groups, "second_bias"), dropout).view(
        *x.shape[:-1], num, dim
    )


def run_groups(groups: Sequence[Experts], x: Tensor, *, dropout: float = 0.0) -> Tensor:
    """Like ``run_experts``, but each group reads an input of its own.

    Args:
        groups: Of the same widths and numbers of experts.
        x: (..., G, D).
        dropout: As in ``run_experts``.

    Returns:
        (..., E, D), E over all groups in their order.
    """
    count, hidden, dim = groups[0].num, groups[0].hidden, groups[0].dim
    first = torch.stack([one.first.view(count * hidden, dim) for one in groups])
    bias = torch.stack([one.first_bias.view(-1) for one in groups])
    by_group = torch.baddbmm(bias[:, None], x.reshape(-1, len(groups), dim).transpose(0, 1), first.transpose(1, 2))
    flat = by_group.transpose(0, 1).reshape(-1, len(groups) * count, hidden)
    out = _second(flat, _joined(groups, "second"), _joined(groups, "second_bias"), dropout)
    return out.view(*x.shape[:-2], len(groups) * count, dim)


def in_pieces(run: Callable[[Tensor], list[Tensor]], x: Tensor, groups: Sequence[Experts]) -> list[Tensor]:
    """``run`` over as many rows at a time as fit into the cache.

    Args:
        run: (m, D) -> tensors (m, D), each row for itself.
        x: (..., D).
        groups: The experts that ``run`` computes.

    Returns:
        As many tensors (..., D).
    """
    rows = max(64, CACHE_NUMBERS // sum(one.num * one.hidden for one in groups))
    flat = x.reshape(-1, x.shape[-1])
    found = [run(piece) for piece in torch.split(flat, rows)]
    whole = found[0] if len(found) == 1 else [torch.cat(parts) for parts in zip(*found, strict=True)]
    return [one.view(x.shape) for one in whole]


def mix(gates: Tensor, experts: Tensor) -> Tensor:
    """Weighted sums of experts: gates (..., E) and experts (..., E, D) give (..., D)."""
    return (gates.unsqueeze(-2) @ experts).squeeze(-2)


def mix_all(gates: Tensor, experts: Tensor, x: Tensor) -> Tensor:
    """Likewise for K tasks at once, added to x: gates (m, K, E), experts (m, E, D) and x (m, D) give (m, K, D)."""
    return torch.baddbmm(x.unsqueeze(1).expand(-1, gates.shape[1], -1), gates, experts)


def usage(gates: Tensor) -> Tensor:
    """The mean share (E,) that each expert gets over all rows of gates (..., E)."""
    return gates.flatten(0, -2).mean(dim=0)


def balance(shares: Tensor) -> float:
    """How evenly shares (E,) are spread: their entropy over that of equal shares, 1 even, 0 where one has all.

    Near 0 a gate has collapsed: the other experts are dead weight.

    Example:
        >>> balance(torch.tensor([0.25, 0.25, 0.25, 0.25]))
        1.0
        >>> balance(torch.tensor([1.0, 0.0]))
        0.0
    """
    if len(shares) < 2:
        return 1.0
    entropy = -torch.special.xlogy(shares.double(), shares.double()).sum()
    return abs(float(entropy) / math.log(len(shares)))


def _second(hidden: Tensor, weight: Tensor, bias: Tensor, dropout: float) -> Tensor:
    """(n, E, H) before its activation to (n, E, D)."""
    active = functional.gelu(hidden)
    if dropout:
        active = functional.dropout(active, dropout)
    return torch.baddbmm(bias[:, None], active.transpose(0, 1), weight).transpose(0, 1)


def _joined(groups: Sequence[Experts], name: str) -> Tensor:
    found: list[Tensor] = [one.get_parameter(name) for one in groups]
    return found[0] if len(found) == 1 else torch.cat(found)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """Within the bounds of ``nn.Linear``."""
    return torch.empty(*shape).uniform_(-1, 1) / math.sqrt(fan_in)
