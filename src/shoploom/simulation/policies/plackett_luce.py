"""Pages drawn product by product, each in proportion to exp(score / temperature) among what is left."""

# Shapes: R requests, M candidates of a shelf, K places of a page

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.simulation.policies.base import Shown, best

if TYPE_CHECKING:
    from shoploom.simulation.settings import Settings


class PlackettLuce:
    """A random ranking without a fixed order that shines through.

    The propensity is conditional on what stands above; the product over the places of a page is the probability of the
    whole list. The probability of a product at a place over all lists has no closed form: take ``Mixture`` for that.

    Args:
        temperature: Above 0; the higher, the more random.

    References:
        Plackett 1975, "The Analysis of Permutations", Applied Statistics 24(2); drawn by the Gumbel top-k trick, Kool
        et al. 2019, arXiv:1903.06059, section 2.3.
    """

    meaning = "probability of this product at this place, given customer, shelf and the products above"

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With ``temperature``."""
        return cls(settings.temperature)

    def show(
        self, score_RM: NDArray[np.float32], size_R: NDArray[np.int64], places: int, draws: np.random.Generator
    ) -> Shown:
        """Fill pages; see ``Policy``."""
        scaled_RM = score_RM.astype(np.float64) / self.temperature
        column_RK = best(scaled_RM - np.log(draws.standard_exponential(scaled_RM.shape)), places)
        weight_RM = np.exp(scaled_RM - scaled_RM.max(axis=1, keepdims=True))
        rows = np.arange(len(score_RM))[:, None]
        chosen_RK = weight_RM[rows, column_RK]
        # What is left is summed from the last place upwards, so that nothing cancels.
        rest_R = np.maximum(weight_RM.sum(axis=1) - chosen_RK.sum(axis=1), 0.0)
        rest_R[size_R <= places] = 0.0
        left_RK = np.cumsum(chosen_RK[:, ::-1], axis=1)[:, ::-1] + rest_R[:, None]
        empty_RK = np.arange(places) >= size_R[:, None]
        propensity_RK = np.divide(chosen_RK, left_RK, out=np.ones_like(left_RK), where=~empty_RK)
        return Shown(column_RK, propensity_RK)
