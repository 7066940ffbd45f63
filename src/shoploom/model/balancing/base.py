"""The interface of a balancing method, and Adam for the few numbers that some of them learn."""

# Shapes: K tasks

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from shoploom.errors import UsageError, unknown_name

Losses = Mapping[str, Tensor]


class Balancer(nn.Module, ABC):
    """Turns the losses of a step into gradients.

    Constructors take ``(tasks, **options)`` and refuse options out of range. All that a method learns or remembers
    is a buffer on the CPU, so ``state_dict`` is whole and nothing of it belongs into the model's optimiser. A step may
    lack tasks (no label in the batch); what is remembered of those stays as it is.

    A loop does this::

        optimiser.zero_grad()
        balancer.backward(losses, parameters=parameters, last_shared=last_shared)
        optimiser.step()
        balancer.after_step(lambda: losses_of_the_same_batch())
    """

    @abstractmethod
    def backward(
        self, losses: Losses, *, parameters: Sequence[nn.Parameter], last_shared: Sequence[nn.Parameter] = ()
    ) -> None:
        """Add this step's gradient to ``.grad`` of the parameters, as ``Tensor.backward`` does.

        Args:
            losses: Scalars by task, finite.
            parameters: All that the optimiser moves.
            last_shared: The last layer that all tasks share; some methods read gradients there.

        Raises:
            UsageError: If a task is not among those of the constructor, or a loss is outside the method's domain.
        """

    @abstractmethod
    def after_step(self, losses: Callable[[], Losses]) -> None:
        """Is told that the optimiser has stepped.

        Args:
            losses: Computes the losses of the same batch again; most methods never call it.
        """

    @abstractmethod
    def task_weights(self) -> dict[str, float]:
        """What the gradient of each task was multiplied by in the last step (or will be in the first)."""


class Adam(nn.Module):
    """Adam for one vector that has to be saved with a balancer; knows nothing of autograd.

    Args:
        size: Length of the vector.
        rate: Learning rate.

    References:
        Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, Algorithm 1.
    """

    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, size: int, *, rate: float) -> None:
        super().__init__()
        self.rate = rate
        for name in ("first", "second", "steps"):
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor, places: Tensor) -> None:
        """Move ``values[places]`` in place, against ``gradient``; other places keep their moments."""
        gradient = gradient.to(self.first)
        self.steps[places] += 1
        self.first[places] = 0.9 * self.first[places] + 0.1 * gradient
        self.second[places] = 0.999 * self.second[places] + 0.001 * gradient**2
        mean = self.first[places] / (1 - 0.9 ** self.steps[places])
        spread = self.second[places] / (1 - 0.999 ** self.steps[places])
        values[places] -= (self.rate * mean / (spread.sqrt() + 1e-8)).to(values)


def places_of(tasks: Sequence[str], losses: Losses) -> list[int]:
    """Where the tasks of some losses stand among the tasks of a balancer.

    Raises:
        UsageError: If there is one that the balancer was not made for.
    """
    known = {name: place for place, name in enumerate(tasks)}
    for name in losses:
        if name not in known:
            raise UsageError(unknown_name("task of the balancing", name, tasks))
    return [known[name] for name in losses]


def backward_sum(losses: Losses, weights: Sequence[float]) -> None:
    """One backward pass through the weighted sum of some losses."""
    total = torch.stack([weight * loss for weight, loss in zip(weights, losses.values(), strict=True)]).sum()
    total.backward()  # type: ignore[no-untyped-call]


def wanted(method: str, name: str, value: float, least: float, most: float, *, open_left: bool = False) -> None:
    """Refuse an option outside its range."""
    if not least <= value <= most or (open_left and value == least):
        above = f"above {least}, at most {most}" if open_left else f"{least} to {most}"
        raise UsageError(f"option {name!r} of balancing {method!r} is {value}; wanted a number {above}")
