"""Which tasks help each other: a small step for one task, and what it does to the losses of the others."""

# Shapes: T tasks

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from shoploom.training.loop import Trainer

STEP = 1e-3
"""Length of a step, as a part of the length of all shared weights."""
PROBES = 12
MOST_LISTED = 8
"""Up to so many tasks every grouping is looked at."""


def affinities(trainer: Trainer, *, probes: int = PROBES) -> dict[str, dict[str, float]]:
    """Mean relative fall of each task's loss after a step of the shared weights for another task.

    Z(i, j) = 1 - L_j(shared - step_i, own_j) / L_j(shared, own_j), averaged over batches of the training. Positive:
    learning i helps j. Big tables of vectors are left out. The steps have one length for all tasks, since gradients of
    different losses do not compare.

    References:
        Fifty et al. 2021, "Efficiently Identifying Task Groupings for Multi-Task Learning", arXiv:2109.04617, Eq. (1).
    """
    model = trainer.model.eval()
    shared = [one for name, one in model.named_parameters() if is_shared(name) and not _is_table(model, name)]
    length = float(torch.sqrt(sum((one.detach() ** 2).sum() for one in shared)))  # type: ignore[arg-type]
    tasks = trainer.stepper.tasks
    found: dict[str, dict[str, list[float]]] = {name: {} for name in tasks}
    for step in range(0, probes * trainer.every, trainer.every):  # those with customers
        batch = trainer.batch(step)
        losses = {name: one for name, one in trainer.losses(step, batch).items() if name in tasks}
        before = {name: float(one.detach()) for name, one in losses.items()}
        for name, direction in _directions(losses, shared).items():
            _move(shared, direction, -STEP * length)
            with torch.no_grad():
                after = trainer.losses(step, batch)
            _move(shared, direction, STEP * length)
            for other, value in after.items():
                if other != name and before.get(other, 0.0) > 0:
                    found[name].setdefault(other, []).append(1.0 - float(value) / before[other])
    return {name: {other: float(np.mean(one)) for other, one in row.items()} for name, row in found.items()}


def is_shared(name: str) -> bool:
    """Whether a weight serves several tasks, by its name in ``MultiTaskModel``.

    Example:
        >>> [is_shared(name) for name in ("customers.out.weight", "heads.churn.weight", "trunks.x.own.churn.bias")]
        [True, False, False]
    """
    return not name.startswith(("heads.", "views.")) and ".own." not in name


def grouped(affinity: Mapping[str, Mapping[str, float]], tasks: Sequence[str], *, most: int = 3) -> list[list[str]]:
    """The partition of tasks into at most ``most`` groups in which they help each other most.

    The value of a grouping is the sum over tasks of the mean affinity that the others of its group have for it; a task
    by itself counts 0. With more than ``MOST_LISTED`` tasks groups are merged greedily.

    References:
        Fifty et al. 2021, section 3.2; theirs is a branch-and-bound search.

    Example:
        >>> z = {"a": {"b": 0.1, "c": -0.1}, "b": {"a": 0.1, "c": -0.1}, "c": {"a": -0.1, "b": -0.1}}
        >>> grouped(z, ["a", "b", "c"])
        [['a', 'b'], ['c']]
    """
    if len(tasks) <= MOST_LISTED:
        candidates = [one for one in partitions(list(tasks)) if len(one) <= most]
        best = max(candidates, key=lambda groups: (sum(_value(affinity, one) for one in groups), -len(groups)))
        return sorted((sorted(one, key=list(tasks).index) for one in best), key=lambda one: list(tasks).index(one[0]))
    groups = [[one] for one in tasks]
    while len(groups) > 1:
        merges = [(a, b) for a in range(len(groups)) for b in range(a + 1, len(groups))]
        gain = {
            (a, b): _value(affinity, groups[a] + groups[b]) - _value(affinity, groups[a]) - _value(affinity, groups[b])
            for a, b in merges
        }
        a, b = max(gain, key=lambda one: gain[one])
        if gain[a, b] <= 0 and len(groups) <= most:
            break
        groups[a] += groups.pop(b)
    return groups


def partitions(items: list[str]) -> Iterator[list[list[str]]]:
    """All ways to divide items into groups.

    Example:
        >>> len(list(partitions(["a", "b", "c", "d"])))  # the fourth Bell number
        15
    """
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for groups in partitions(rest):
        yield [[first], *groups]
        for at in range(len(groups)):
            yield [*groups[:at], [first, *groups[at]], *groups[at + 1 :]]


def _value(affinity: Mapping[str, Mapping[str, float]], group: Sequence[str]) -> float:
    if len(group) < 2:
        return 0.0
    return sum(
        float(np.mean([affinity.get(other, {}).get(one, 0.0) for other in group if other != one])) for one in group
    )


def _directions(losses: Mapping[str, Tensor], shared: Sequence[nn.Parameter]) -> dict[str, list[Tensor | None]]:
    """By task its gradient on the shared weights, of length 1; tasks that do not touch them are left out."""
    names = list(losses)
    found: dict[str, list[Tensor | None]] = {}
    for place, name in enumerate(names):
        more = place < len(names) - 1
        grads: Sequence[Tensor | None] = torch.autograd.grad(
            losses[name], list(shared), retain_graph=more, allow_unused=True
        )
        squares = [(one**2).sum() for one in grads if one is not None]
        norm = float(torch.sqrt(torch.stack(squares).sum())) if squares else 0.0
        if norm > 0:
            found[name] = [None if one is None else one / norm for one in grads]
    return found


@torch.no_grad()
def _move(shared: Sequence[nn.Parameter], direction: Sequence[Tensor | None], by: float) -> None:
    for one, way in zip(shared, direction, strict=True):
        if way is not None:
            one.add_(way, alpha=by)


def _is_table(model: nn.Module, name: str) -> bool:
    owner = model.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, nn.Embedding | nn.EmbeddingBag)
