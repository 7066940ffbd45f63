"""Class probabilities of one or several attributes, of customers or products."""

# Shapes: n cases, D width, V values of an attribute

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ClassesHead(nn.Module):
    """One linear layer per attribute with prior-corrected logits.

    Training adds ``strength * log prior`` to the logits and serving leaves it out, so that rare values are found
    (macro-F1) instead of the most frequent one always winning.

    References:
        Menon et al. 2021, "Long-tail learning via logit adjustment", arXiv:2007.07314, Eq. (10).

    Args:
        dim: Width D of the input.
        priors: Share of each value, per attribute.
        strength: 0 is plain cross-entropy, 1 balances all values.
        dropout: Of the input.

    Shape:
        x_nD. Returns a dict of (n, V) logits.
    """

    def __init__(
        self, dim: int, *, priors: dict[str, list[float]], strength: float = 0.6, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.names = list(priors)
        self.strength = strength
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(nn.Linear(dim, len(prior)) for prior in priors.values())
        for number, prior in enumerate(priors.values()):
            self.register_buffer(f"prior{number}", torch.tensor(prior, dtype=torch.float32).clamp(min=1e-4).log())

    def forward(self, x_nD: Tensor) -> dict[str, Tensor]:
        """Logits per attribute."""
        x_nD = self.dropout(x_nD)
        return {name: layer(x_nD) for name, layer in zip(self.names, self.layers, strict=True)}

    def loss(self, logits: dict[str, Tensor], codes: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy over attributes; a code of -1 does not count."""
        losses = []
        for number, name in enumerate(self.names):
            known = codes[name] >= 0
            if bool(known.any()):
                adjusted = logits[name][known] + self.strength * self.get_buffer(f"prior{number}")
                losses.append(functional.cross_entropy(adjusted, codes[name][known]))
        first = next(iter(logits.values()))
        return torch.stack(losses).mean() if losses else first.sum() * 0.0
