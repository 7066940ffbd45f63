"""Methods that combine one gradient per task, from the library torchjd, through one adapter."""

# Shapes: K tasks, P numbers in all parameters that several tasks move, U touched rows of a table

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shoploom.errors import MissingExtraError, ShoploomError
from shoploom.model.balancing.base import Balancer, Losses, places_of, wanted

Weighting = Callable[[Tensor, list[int]], Tensor]


class Surgery(Balancer):
    """One backward pass per task; what several tasks move gets sum_k w_k g_k, what one task moves gets its gradient.

    All of the methods find w from the products of the tasks' gradients alone, so the adapter hands those over and
    no gradient is copied. Parameters count as shared when at least two losses of the step reach them.

    Args:
        tasks: Names of the tasks.
        weigh: (K, K) products of the gradients and the places of the K tasks -> (K,) weights.
        size: Length of what ``weigh`` remembers between steps in ``memory``.

    References:
        Quinton and Rey 2024, "Jacobian Descent for Multi-Objective Optimization", arXiv:2406.16232, section 4:
        aggregators that act through the Gramian.
    """

    last: Tensor
    memory: Tensor

    def __init__(self, tasks: Sequence[str], weigh: Weighting, *, memory: Tensor | None = None) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.weigh = weigh
        self.register_buffer("last", torch.ones(len(tasks), dtype=torch.float64))
        self.register_buffer("memory", torch.zeros(0, dtype=torch.float64) if memory is None else memory)

    def backward(
        self, losses: Losses, *, parameters: Sequence[nn.Parameter], last_shared: Sequence[nn.Parameter] = ()
    ) -> None:
        """As many backward passes as there are losses.

        Raises:
            ShoploomError: If a gradient is not finite.
        """
        places = places_of(self.tasks, losses)
        by_task = [
            torch.autograd.grad(loss, list(parameters), retain_graph=place + 1 < len(losses), allow_unused=True)
            for place, loss in enumerate(losses.values())
        ]
        by_parameter = list(zip(parameters, zip(*by_task, strict=True), strict=True))
        shared = [found for _, found in by_parameter if sum(one is not None for one in found) > 1]
        products = _products(shared, len(losses))
        for name, product in zip(losses, products.diagonal(), strict=True):
            if not bool(torch.isfinite(product)):
                raise ShoploomError(f"the gradient of task {name!r} is not finite; try a smaller train.learning_rate")
        weights = self.weigh(products, places) if len(losses) > 1 else torch.ones(1, dtype=torch.float64)
        self.last[places] = weights
        for parameter, found in by_parameter:
            known = [(weight, one) for weight, one in zip(weights.tolist(), found, strict=True) if one is not None]
            if not known:
                continue
            gradient = known[0][1] if len(known) == 1 else _sum(known)
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    def after_step(self, losses: Callable[[], Losses]) -> None:
        """Nothing to do."""

    def task_weights(self) -> dict[str, float]:
        """Of the last step; a method that projects gradients may give one that is negative."""
        return dict(zip(self.tasks, self.last.tolist(), strict=True))


def pcgrad(tasks: Sequence[str]) -> Surgery:
    """Takes out of each gradient what points against another one, in random order, and adds them up.

    References:
        Yu et al. 2020, "Gradient Surgery for Multi-Task Learning", arXiv:2001.06782, Algorithm 1.
    """
    return Surgery(tasks, _plain(_torchjd().PCGradWeighting()))


def cagrad(tasks: Sequence[str], *, c: float = 0.4) -> Surgery:
    """The step within c |g_0| of the mean gradient g_0 that helps the worst task most.

    Args:
        tasks: Names of the tasks.
        c: Size of the search region; 0 is the plain mean.

    References:
        Liu et al. 2021, "Conflict-Averse Gradient Descent for Multi-task Learning", arXiv:2110.14048, Eq. (3), (4).
    """
    wanted("cagrad", "c", c, 0, 10)
    return Surgery(tasks, _plain(_made(lambda library: library.CAGradWeighting(c=c))))


def imtl_g(tasks: Sequence[str]) -> Surgery:
    """The combination whose projections on all tasks' gradients are equally long.

    References:
        Liu et al. 2021, "Towards Impartial Multi-task Learning", ICLR, Eq. (2) to (4).
    """
    return Surgery(tasks, _plain(_torchjd().IMTLGWeighting()))


def nash(tasks: Sequence[str], *, max_norm: float = 1.0) -> Surgery:
    """The Nash bargaining solution: weights w with G w = 1 / w, G being the products of the gradients.

    Args:
        tasks: Names of the tasks.
        max_norm: Largest length of the combined gradient; 0: no limit.

    References:
        Navon et al. 2022, "Multi-Task Learning as a Bargaining Game", arXiv:2202.01017, Claim 3.1 and Algorithm 1.
    """
    wanted("nash", "max_norm", max_norm, 0, 1e9)
    memory = torch.ones(len(tasks), dtype=torch.float64)
    made: dict[int, Any] = {}

    def weigh(products: Tensor, places: list[int]) -> Tensor:
        if len(places) not in made:
            made[len(places)] = _made(lambda library: library.NashMTL(n_tasks=len(places), max_norm=max_norm))
        weighting = made[len(places)].weighting
        weighting.prvs_alpha = memory[places].numpy()  # where the last step ended; kept with the checkpoint
        with warnings.catch_warnings():  # its problem is built anew in every iteration, as cvxpy remarks each time
            warnings.filterwarnings("ignore", "You are solving a parameterized problem that is not DPP", UserWarning)
            found: Tensor = weighting(_root(products))
        memory[places] = torch.from_numpy(weighting.prvs_alpha).to(memory)
        return found

    _made(lambda library: library.NashMTL(n_tasks=max(1, len(tasks))))  # a missing package is told now
    return Surgery(tasks, weigh, memory=memory)


def aligned(tasks: Sequence[str]) -> Surgery:
    """Makes the tasks' gradients orthogonal and of the smallest principal size before adding them up.

    References:
        Senushkin et al. 2023, "Independent Component Alignment for Multi-Task Learning", CVPR, Eq. (10), (11).
    """
    return Surgery(tasks, _plain(_torchjd().AlignedMTLWeighting()))


def upgrad(tasks: Sequence[str]) -> Surgery:
    """Projects each gradient on the cone of directions that harm no task, and takes the mean.

    References:
        Quinton and Rey 2024, arXiv:2406.16232, Eq. (3) and (5).
    """
    return Surgery(tasks, _plain(_made(lambda library: library.UPGradWeighting())))


def _plain(weighting: Any) -> Weighting:
    def weigh(products: Tensor, places: list[int]) -> Tensor:
        found: Tensor = weighting(products)
        return found

    return weigh


def _made(make: Callable[[Any], Any]) -> Any:
    """What needs a solver; torchjd names it when it is missing."""
    try:
        return make(_torchjd())
    except ImportError as error:
        raise MissingExtraError("a solver of torchjd", "mtl") from error


def _torchjd() -> Any:
    try:
        from torchjd import aggregation
    except ImportError as error:
        raise MissingExtraError("torchjd", "mtl") from error
    return aggregation


def _products(shared: Sequence[Sequence[Tensor | None]], count: int) -> Tensor:
    """(K, K) inner products of the tasks' gradients, over all parameters that several of them move."""
    products = torch.zeros(count, count, dtype=torch.float64)
    for found in shared:
        some = next(one for one in found if one is not None)
        rows = _touched(found) if some.is_sparse else [torch.zeros_like(some) if one is None else one for one in found]
        flat = torch.stack([one.reshape(-1) for one in rows]).double()
        products += (flat @ flat.T).cpu()
    return products


def _touched(found: Sequence[Tensor | None]) -> list[Tensor]:
    """Sparse gradients (N, D) of a table as dense ones (U, D) over the rows that any task touched."""
    known = [None if one is None else one.coalesce() for one in found]
    rows = torch.unique(torch.cat([one.indices()[0] for one in known if one is not None]))
    dense = []
    for one in known:
        width = next(other for other in known if other is not None).values().shape[1:]
        full = torch.zeros(len(rows), *width, device=rows.device)
        if one is not None:
            full[torch.searchsorted(rows, one.indices()[0])] = one.values()
        dense.append(full)
    return dense


def _sum(known: Sequence[tuple[float, Tensor]]) -> Tensor:
    total = known[0][0] * known[0][1]
    for weight, one in known[1:]:
        total = total + weight * one
    return total


def _root(products: Tensor) -> Tensor:
    """R with R R^T = the products, for a method that wants the gradients themselves: it sees their products alone."""
    values, vectors = torch.linalg.eigh(products)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root
