"""Whole pages are personal, by popularity, or in random order: each product's propensity at its place is a sum."""

# Shapes: R requests, M candidates of a shelf, K places of a page

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.simulation.policies.base import Shown, best

if TYPE_CHECKING:
    from shoploom.simulation.settings import Settings


class Mixture:
    """With the given shares a page shows the ranker's order, the order of popularity, or a random order.

    The propensity of product i at place k is that of exactly this product at exactly this place, over all requests of
    the same customer for the same shelf: a [personal(k) = i] + b [popular(k) = i] + c / M. So inverse propensities give
    unbiased sums for any product and place, which conditional propensities of ``PlackettLuce`` do not.

    Args:
        weights: a, b and c, with the sum 1.
    """

    meaning = "probability of this product at this place, given customer and shelf"

    def __init__(self, weights: tuple[float, float, float]) -> None:
        self.weights = weights

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With ``policy_weights``."""
        return cls(settings.policy_weights)

    def show(
        self, score_RM: NDArray[np.float32], size_R: NDArray[np.int64], places: int, draws: np.random.Generator
    ) -> Shown:
        """Fill pages; see ``Policy``."""
        personal, popular, shuffled = self.weights
        count, width = score_RM.shape
        chance_R = draws.random((count,))
        keys_RM = draws.random((count, width), dtype=np.float32)
        ranked_RK = best(score_RM, places)
        popular_K = np.arange(places)
        column_RK = np.where((chance_R < personal)[:, None], ranked_RK, popular_K)
        random = np.flatnonzero(chance_R >= personal + popular)
        keys_RM = keys_RM[random]
        keys_RM[np.arange(width) >= size_R[random, None]] = -1.0
        column_RK[random] = best(keys_RM, places)
        is_ranked_RK, is_popular_RK = np.equal(column_RK, ranked_RK), np.equal(column_RK, popular_K)
        propensity_RK = personal * is_ranked_RK + popular * is_popular_RK
        propensity_RK += (shuffled / size_R)[:, None]
        propensity_RK[popular_K >= size_R[:, None]] = 1.0
        return Shown(column_RK, propensity_RK)
