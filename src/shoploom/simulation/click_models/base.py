"""The interface of click models."""

# Shapes: R requests, K places of a page

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shoploom.simulation.settings import Settings


@dataclass(frozen=True)
class Clicks:
    """What happened on pages.

    Args:
        examination: Probability that a place is examined, given the page.
        examined: Whether it was.
        clicked: Whether it was clicked; P(clicked) = examination x relevance.
    """

    examination: NDArray[np.float64]
    examined: NDArray[np.bool_]
    clicked: NDArray[np.bool_]


class ClickModel(Protocol):
    """Which places are examined; what is examined is clicked with its relevance."""

    @classmethod
    def of(cls, settings: Settings) -> ClickModel:
        """With what the settings say about it."""
        ...

    def clicks(self, relevance_RK: NDArray[np.float64], draws: np.random.Generator) -> Clicks:
        """Look at pages.

        Args:
            relevance_RK: Probability of a click if examined; 0 at places that are not filled.
            draws: The source of chance; two numbers per place are drawn.
        """
        ...
