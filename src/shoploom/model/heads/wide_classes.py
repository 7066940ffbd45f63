"""Attributes of customers: a deep path that is learned jointly, and a wide one on spend shares that is fitted after."""

# Shapes: n cases, D width, G categories, V values of an attribute

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shoploom.model.heads.classes import ClassesHead


class WideClassesHead(ClassesHead):
    """``ClassesHead`` with a linear layer on the customer's spend shares beside it.

    A few hundred labels teach a deep path little (macro F1 0.22 on The Complete Journey), and a regression on spend
    shares more (0.31); both together lie between. So the deep path shapes the shared encoders, as every task does, and
    answers where there are no categories; else the wide path answers, once ``fit_wide`` has given it weights.

    References:
        Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems", arXiv:1606.07792, section 3.

    Args:
        dim, priors, strength, dropout: As in ``ClassesHead``.
        num_wide: G.
    """

    def __init__(
        self, dim: int, *, priors: dict[str, list[float]], num_wide: int, strength: float = 0.6, dropout: float = 0.3
    ) -> None:
        super().__init__(dim, priors=priors, strength=strength, dropout=dropout)
        self.num_wide = num_wide
        sizes = [len(prior) for prior in priors.values()] if num_wide else []
        self.wide = nn.ModuleList(nn.Linear(num_wide, size) for size in sizes)
        self.wide.requires_grad_(requires_grad=False)  # fitted in closed loop, not by gradient steps
        self.register_buffer("is_fitted", torch.tensor(False))

    def fit_wide(self, tables: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
        """Take weights (V, G) and biases (V,) per attribute; attributes that are missing answer with their prior."""
        for number, (name, layer) in enumerate(zip(self.names, self.wide, strict=True)):
            assert isinstance(layer, nn.Linear)
            layer.weight.zero_()
            layer.bias.copy_(self.get_buffer(f"prior{number}"))
            if name in tables:
                weight, bias = tables[name]
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
        self.get_buffer("is_fitted").fill_(value=True)

    def answer(self, x_nD: Tensor, wide_nG: Tensor) -> dict[str, Tensor]:
        """Logits per attribute, for serving."""
        if not self.num_wide or not bool(self.get_buffer("is_fitted")):
            logits: dict[str, Tensor] = self(x_nD)
            return logits
        return {name: layer(wide_nG) for name, layer in zip(self.names, self.wide, strict=True)}
