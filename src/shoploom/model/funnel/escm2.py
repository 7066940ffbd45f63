"""ESCM²: the entire-space model whose conditional steps are debiased by inverse propensities or doubly robustly."""

# Shapes: B impressions, D width, S stages

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from shoploom.model.funnel.chain import Observed, log_loss, log_reached
from shoploom.model.funnel.esmm import Towers, esmm_loss, start_chain

LEAST_PROPENSITY = 0.02
"""A click that the model held for less likely than this weighs like one of this chance: bounded variance."""


class Escm2Ips(nn.Module):
    """ESMM's loss plus, for each step after the first, the step's own log loss weighed by 1 / p(step before).

    With o = 1 where stage s - 1 was reached, c = p(s - 1) (held fixed, clipped below) and l the log loss of the
    conditional sigmoid(z_s), the term is mean(o l / c). Its expectation is mean(l) over all impressions: what the step
    would lose if everybody were sent on to it.

    Args:
        dim: Width D of the input.
        stages: Number S.
        hidden: Width of the towers' hidden layer.
        weight: Of the debiasing term (lambda_c; the entire-space loss has weight 1).

    References:
        Wang et al. 2022, "ESCM²: Entire Space Counterfactual Multi-Task Model", arXiv:2204.05125, section 3.2
        (counterfactual risk by IPS); the propensity is not taught by this term, as there.
    """

    name: ClassVar[str] = "escm2_ips"

    def __init__(self, dim: int, stages: int, *, hidden: int = 32, weight: float = 0.1) -> None:
        super().__init__()
        self.towers = Towers(dim, stages, hidden=hidden)
        self.weight = weight

    def forward(self, x_BD: Tensor) -> Tensor:
        """(B, S) log-probability to reach each stage."""
        return log_reached(self.towers(x_BD))

    def loss(self, x_BD: Tensor, observed: Observed) -> Tensor:
        """Mean over impressions of ESMM's loss and the weighted inverse-propensity term."""
        logits = self.towers(x_BD)
        log_p = log_reached(logits)
        own, before, propensity = _steps(logits, log_p, observed)
        return esmm_loss(log_p, observed) + self.weight * ips_risk(own, before, propensity)

    def start(self, rates: Tensor) -> None:
        """Set biases so that an empty input gets the mean rates (S,) of reaching each stage."""
        start_chain(self.towers, rates)


class Escm2Dr(nn.Module):
    """The same with the doubly robust risk: an imputed loss everywhere, corrected where the step was seen.

    A second set of towers imputes e ~ l (softplus of its output). The risk of a step is mean(e + o (l - e) / c), and
    the imputation learns by mean(o (l - e)^2 / c). It is unbiased if either c or e is right.

    Args:
        dim: Width D of the input.
        stages: Number S.
        hidden: Width of the towers' hidden layer.
        weight: Of the debiasing term.

    References:
        Wang et al. 2022, arXiv:2204.05125, section 3.2 (DR), after Wang et al. 2019, "Doubly Robust Joint Learning for
        Recommendation on Data Missing Not at Random", Eq. (5) and (8).
    """

    name: ClassVar[str] = "escm2_dr"

    def __init__(self, dim: int, stages: int, *, hidden: int = 32, weight: float = 0.1) -> None:
        super().__init__()
        self.towers = Towers(dim, stages, hidden=hidden)
        self.imputation = Towers(dim, stages, hidden=hidden)
        self.weight = weight

    def forward(self, x_BD: Tensor) -> Tensor:
        """(B, S) log-probability to reach each stage."""
        return log_reached(self.towers(x_BD))

    def loss(self, x_BD: Tensor, observed: Observed) -> Tensor:
        """Mean over impressions of ESMM's loss and the weighted doubly robust terms."""
        logits = self.towers(x_BD)
        log_p = log_reached(logits)
        own, before, propensity = _steps(logits, log_p, observed)
        imputed = functional.softplus(self.imputation(x_BD))[:, 1:]
        risk = dr_risk(own, imputed.detach(), before, propensity)
        error = ips_risk((own.detach() - imputed) ** 2, before, propensity)
        return esmm_loss(log_p, observed) + self.weight * (risk + error)

    def start(self, rates: Tensor) -> None:
        """Set biases so that an empty input gets the mean rates (S,) of reaching each stage."""
        start_chain(self.towers, rates)


def ips_risk(loss: Tensor, seen: Tensor, propensity: Tensor) -> Tensor:
    """Sum over steps of mean(o l / c); all arguments (B, S - 1)."""
    return (seen * loss / propensity).sum(dim=1).mean()


def dr_risk(loss: Tensor, imputed: Tensor, seen: Tensor, propensity: Tensor) -> Tensor:
    """Sum over steps of mean(e + o (l - e) / c); all arguments (B, S - 1)."""
    return (imputed + seen * (loss - imputed) / propensity).sum(dim=1).mean()


def _steps(logits: Tensor, log_p: Tensor, observed: Observed) -> tuple[Tensor, Tensor, Tensor]:
    """Each (B, S - 1): log loss of each later step, whether it was open, and the chance that it was (clipped)."""
    late = observed.log_seen[:, 1:] - observed.log_seen[:, :-1]  # what of the maturity belongs to the step itself
    own = log_loss(functional.logsigmoid(logits[:, 1:]) + late.clamp(max=0.0), observed.reached[:, 1:])
    propensity = (log_p + observed.log_seen)[:, :-1].detach().exp().clamp(min=LEAST_PROPENSITY)
    return own, observed.reached[:, :-1], propensity
