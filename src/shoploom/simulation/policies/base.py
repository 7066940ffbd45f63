"""The policy interface, and the ranking that all policies begin from."""

# Shapes: R requests, M candidates of a shelf, K places of a page

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shoploom.simulation.settings import Settings


@dataclass(frozen=True)
class Shown:
    """Filled pages.

    Args:
        columns: Column of the candidate at each place; places from the shelf's size on are not filled.
        propensities: Its propensity in (0, 1]; 1 at places that are not filled.
    """

    columns: NDArray[np.int64]
    propensities: NDArray[np.float64]


class Policy(Protocol):
    """How pages are filled. Made by ``of``; ``meaning`` says what its propensities are probabilities of."""

    meaning: str

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """With what the settings say about it."""
        ...

    def show(
        self, score_RM: NDArray[np.float32], size_R: NDArray[np.int64], places: int, draws: np.random.Generator
    ) -> Shown:
        """Fill pages.

        Args:
            score_RM: The logging ranker's scores; -inf beyond the shelf's size. Columns are in order of popularity.
            size_R: Number of candidates of each request, at least 1.
            places: K, at most M.
            draws: The source of chance; how much is drawn depends on the shapes only.
        """
        ...


def best(score_RM: NDArray[np.floating], places: int) -> NDArray[np.int64]:
    """(R, K) columns with the highest scores, best first."""
    rows = np.arange(len(score_RM))[:, None]
    if places < score_RM.shape[1]:
        some = np.argpartition(-score_RM, places - 1, axis=1)[:, :places]
    else:
        some = np.broadcast_to(np.arange(places), (len(score_RM), places))
    return np.asarray(some[rows, np.argsort(-score_RM[rows, some], axis=1)])
