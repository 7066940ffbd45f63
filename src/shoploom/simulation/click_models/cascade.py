"""A cascade: the page is read from the top, and left after a while, sooner after a click."""

# Shapes: R requests, K places of a page

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.simulation.click_models.base import Clicks

if TYPE_CHECKING:
    from shoploom.simulation.settings import Settings


class Cascade:
    """The first place is examined; the next one if the reader goes on.

    The probability to go on is ``after_none`` where the place was not clicked and ``after_click`` where it was. So the
    examination of place k, given the page, is e_1 = 1, e_{k+1} = e_k (after_none (1 - r_k) + after_click r_k).

    Args:
        after_none: In [0, 1]; 1 is the cascade model without abandonment.
        after_click: In [0, 1]; 0 stops at the first click.

    References:
        Craswell et al. 2008, "An Experimental Comparison of Click Position-Bias Models", WSDM, section 3.4 (cascade);
        Guo et al. 2009, "Efficient Multiple-Click Models in Web Search", WSDM, Eq. (1) (going on after a click). Ours
        has the same probability at every place, and readers may stop without a click.
    """

    def __init__(self, after_none: float, after_click: float) -> None:
        self.after_none = after_none
        self.after_click = after_click

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With ``go_on``."""
        return cls(*settings.go_on)

    def clicks(self, relevance_RK: NDArray[np.float64], draws: np.random.Generator) -> Clicks:
        """Look at pages; see ``ClickModel``."""
        count, places = relevance_RK.shape
        wanted_RK = draws.random((count, places)) < relevance_RK
        chance_RK = draws.random((count, places))
        examination_RK = np.ones((count, places))
        examined_RK = np.ones((count, places), dtype=bool)
        for place in range(places - 1):
            relevance_R, wanted_R = relevance_RK[:, place], wanted_RK[:, place]
            on_R = self.after_none + (self.after_click - self.after_none) * relevance_R
            examination_RK[:, place + 1] = examination_RK[:, place] * on_R
            goes_on_R = chance_RK[:, place] < np.where(wanted_R, self.after_click, self.after_none)
            examined_RK[:, place + 1] = examined_RK[:, place] & goes_on_R
        return Clicks(examination_RK, examined_RK, examined_RK & wanted_RK)
