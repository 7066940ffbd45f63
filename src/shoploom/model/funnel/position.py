"""Position bias: what is further down is looked at less, whatever it is.

The position-based model says P(click | item, k) = theta_k gamma_item: examination times relevance (Richardson et al.
2007; Craswell et al. 2008, "An experimental comparison of click position-bias models", section 3). theta_0 = 1 fixes
the scale, so that gamma is the click rate at the first place.
"""

# Shapes: B impressions, P positions, n impressions, K groups

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shoploom.data.arrays import F64
from shoploom.errors import DataError


class Examination(nn.Module):
    """log theta_k of each position, learned with the rest of a network; log theta_0 = 0 and none is above 0.

    Args:
        positions: Number P.

    Shape:
        position_B: (B,) int64; -1 (unknown) counts as examined, places past the last as the last. Returns (B,).
    """

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.full((positions - 1,), -1.0))

    def log_theta(self) -> Tensor:
        """(P,)."""
        return torch.cat([self.raw.new_zeros(1), -functional.softplus(self.raw)])

    def forward(self, position_B: Tensor) -> Tensor:
        """Log-probability that the position is looked at."""
        return self.log_theta()[position_B.clamp(min=0, max=len(self.raw))]


START_ROUNDS = 100


@dataclass(frozen=True)
class Examined:
    """A fitted position-based model.

    Args:
        theta: (P,) chance to be examined, 1 at the first position.
        gamma: (K,) click rate of each group once examined.
        rounds: Of EM.
    """

    theta: F64
    gamma: F64
    rounds: int


def position_em(
    group: NDArray[Any],
    position: NDArray[Any],
    clicked: NDArray[Any],
    *,
    num_groups: int,
    prior: float = 1.0,
    most_rounds: int = 500,
    enough: float = 1e-6,
) -> Examined:
    """Maximum likelihood of the position-based model by EM over counts of (group, position).

    For an impression without a click, P(examined) = theta (1 - gamma) / (1 - theta gamma) and P(relevant) = gamma
    (1 - theta) / (1 - theta gamma); with a click both are 1. Theta and gamma are the means of these.

    Args:
        group: (n,) item, or whatever has one relevance.
        position: (n,) from 0.
        clicked: (n,) 0 or 1.
        num_groups: K.
        prior: Impressions at the mean relevance of all that each group is credited with.
        most_rounds: At most.
        enough: Largest change of theta at which the rounds end.

    Raises:
        DataError: If no group is seen at two positions: then theta and gamma cannot be told apart.

    References:
        Wang et al. 2018, "Position Bias Estimation for Unbiased Learning to Rank in Personal Search", section 3.1,
        Eq. (1) to (3).
    """
    places = int(position.max()) + 1 if len(position) else 0
    cell = np.asarray(group, dtype=np.int64) * places + position
    seen = np.bincount(cell, minlength=num_groups * places).reshape(num_groups, places).astype(np.float64)
    hits = np.bincount(cell, np.asarray(clicked, dtype=float), num_groups * places).reshape(num_groups, places)
    if places > 1 and int((seen > 0).sum(axis=1).max()) < 2:
        raise DataError(
            "position bias cannot be told from relevance: no item was shown at two positions; log impressions over a "
            "longer time, or shuffle a small share of the pages"
        )
    missed, shown, weight = seen - hits, np.maximum(seen.sum(axis=0), 1e-9), seen.sum(axis=1)
    overall = float(hits.sum() / max(1.0, weight.sum()))
    theta, gamma = _start(seen, hits, overall, prior)
    rounds = 0
    while rounds < most_rounds:
        rounds += 1
        neither = np.maximum(1 - gamma[:, None] * theta, 1e-12)
        examined = (hits + missed * theta * (1 - gamma[:, None]) / neither).sum(axis=0) / shown
        relevant = (hits + missed * gamma[:, None] * (1 - theta) / neither).sum(axis=1)
        before, theta = theta, examined
        theta[:1] = 1.0
        overall = float(relevant.sum() / max(1.0, weight.sum()))
        gamma = np.clip((relevant + prior * overall) / np.maximum(weight + prior, 1e-9), 1e-9, 1 - 1e-9)
        if float(np.abs(theta - before).max(initial=0.0)) < enough:
            break
    return Examined(theta, gamma, rounds)


def _start(seen: NDArray[Any], hits: NDArray[Any], overall: float, prior: float) -> tuple[F64, F64]:
    """Near the answer, by balancing rows and columns as if clicks were rare (Poisson).

    EM alone needs thousands of rounds where they are: an impression without a click tells it next to nothing.
    """
    theta: F64 = np.ones(seen.shape[1])
    gamma: F64 = np.full(len(seen), overall)
    for _ in range(START_ROUNDS):
        gamma = np.clip((hits.sum(axis=1) + prior * overall) / np.maximum(seen @ theta + prior, 1e-9), 1e-9, 1 - 1e-6)
        theta = hits.sum(axis=0) / np.maximum(gamma @ seen, 1e-9)
        theta = np.clip(theta / max(float(theta[:1].sum()), 1e-9), 1e-6, 0.98)  # 1 would stay 1 for ever
        theta[:1] = 1.0
    return theta, gamma


def theta_by_propensity(position: NDArray[Any], clicked: NDArray[Any], propensity: NDArray[Any]) -> F64:
    """(P,) chance that each position is examined, from a log that says how likely each item was to be shown there.

    Weighed by 1 / propensity, every position shows the same mixture of items, so that weighed click rates differ by
    examination alone: theta_k = r_k / r_0 with r_k = sum(c / q) / sum(1 / q). Unlike ``position_em`` this does not
    assume that an item is equally relevant to everybody who sees it, which personal ranking makes badly wrong.

    Args:
        position: (n,) from 0.
        clicked: (n,) 0 or 1.
        propensity: (n,) q above 0, of this item at this position.

    Raises:
        DataError: If a propensity is not above 0, or the first position has no click.

    References:
        Joachims et al. 2017, "Unbiased Learning-to-Rank with Biased Feedback", section 5.3 (interventions), with
        weights in place of swaps; self-normalised as in Swaminathan and Joachims 2015.
    """
    if len(propensity) and not float(propensity.min()) > 0:
        raise DataError(
            f"propensities must be above 0, the smallest is {propensity.min():g}; leave rows out whose page was not "
            "drawn at random"
        )
    weight = 1.0 / np.asarray(propensity, dtype=np.float64)
    places = int(position.max(initial=-1)) + 1
    rate = np.bincount(position, weight * clicked, places) / np.maximum(np.bincount(position, weight, places), 1e-300)
    if not places or not rate[0] > 0:
        raise DataError("the first position has no click, so that nothing can be compared with it; log more pages")
    return np.asarray(np.minimum(rate / rate[0], 1.0))


def ips_rate(
    group: NDArray[Any], clicked: NDArray[Any], examined: NDArray[Any], *, num_groups: int, prior: float = 0.0
) -> F64:
    """(K,) click rate once examined, by inverse propensities: sum of c / theta over the number of impressions.

    Args:
        group: (n,) codes.
        clicked: (n,) 0 or 1.
        examined: (n,) chance of each impression to be examined, above 0.
        num_groups: K.
        prior: Impressions at the overall rate that each group is credited with.

    References:
        Joachims et al. 2017, "Unbiased Learning-to-Rank with Biased Feedback", Eq. (2).
    """
    weight = np.asarray(clicked, dtype=float) / examined
    overall = float(weight.mean()) if len(weight) else 0.0
    shown = np.bincount(group, minlength=num_groups) + prior
    total = np.bincount(group, weight, num_groups) + prior * overall
    return np.asarray(np.divide(total, shown, out=np.full(num_groups, overall), where=shown > 0), dtype=np.float64)
