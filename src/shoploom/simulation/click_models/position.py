"""The position-based model: each place is examined by itself, the lower the less often."""

# Shapes: R requests, K places of a page

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.simulation.click_models.base import Clicks

if TYPE_CHECKING:
    from shoploom.simulation.settings import Settings


class PositionBased:
    """Place k = 1, 2, ... is examined with probability k ** -power, whatever stands there.

    Args:
        power: 0 for no position bias; 1 is strong.

    References:
        Joachims et al. 2017, "Unbiased Learning-to-Rank with Biased Feedback", arXiv:1608.04468, section 5 (the model)
        and section 7.1 (propensities (1 / rank) ** eta).
    """

    def __init__(self, power: float) -> None:
        self.power = power

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With ``position_power``."""
        return cls(settings.position_power)

    def clicks(self, relevance_RK: NDArray[np.float64], draws: np.random.Generator) -> Clicks:
        """Look at pages; see ``ClickModel``."""
        examination_K = np.arange(1.0, relevance_RK.shape[1] + 1) ** -self.power
        examined_RK = draws.random(relevance_RK.shape) < examination_K
        clicked_RK = examined_RK & (draws.random(relevance_RK.shape) < relevance_RK)
        return Clicks(np.broadcast_to(examination_K, relevance_RK.shape), examined_RK, clicked_RK)
