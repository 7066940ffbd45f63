"""Experts in one batched computation beside a loop over experts of ``nn.Linear``: forward and backward of one MMoE.

Both compute the same function with the same weights, which is checked first. They take turns, so that what else the
machine does hits both; ``--clock cpu`` counts the time of the process, which other work hardly touches. The default
is the customer trunk of size ``small``: width 64, four experts, five tasks, and a residual of its own for each task,
which both compute alike; ``--rank 0`` leaves those out. Prints one JSON object.

    python -m benchmarks.experts --batch 4096 --dim 64 --num 4 --tasks 5
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from shoploom.model.sharing.base import of_task
from shoploom.model.sharing.mmoe import MMoE


class Loop(nn.Module):
    """The same MMoE as a list of small networks, as textbooks write it."""

    def __init__(self, fused: MMoE, tasks: Sequence[str]) -> None:
        super().__init__()
        group = fused.shared
        self.tasks = tuple(tasks)
        self.norm = nn.LayerNorm(group.dim)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(group.dim, group.hidden), nn.GELU(), nn.Linear(group.hidden, group.dim))
            for _ in range(group.num)
        )
        self.gates = nn.ModuleList(nn.Linear(group.dim, group.num, bias=False) for _ in tasks)
        self.own = nn.ModuleList(of_task(fused.own, name) for name in tasks if fused.own)
        with torch.no_grad():
            for place, expert in enumerate(self.experts):
                assert isinstance(expert, nn.Sequential)
                first, second = expert[0], expert[2]
                assert isinstance(first, nn.Linear)
                assert isinstance(second, nn.Linear)
                first.weight.copy_(group.first[place])
                first.bias.copy_(group.first_bias[place])
                second.weight.copy_(group.second[place].T)
                second.bias.copy_(group.second_bias[place])
            for gate, name in zip(self.gates, tasks, strict=True):
                gate.get_parameter("weight").copy_(of_task(fused.gate, name).get_parameter("weight"))

    def forward(self, x: Tensor) -> list[Tensor]:
        """One view per task."""
        normed = self.norm(x)
        outs = [expert(normed) for expert in self.experts]
        views = []
        for number, gate in enumerate(self.gates):
            shares = gate(normed).softmax(dim=-1)
            mixed = x
            for place, out in enumerate(outs):
                mixed = mixed + shares[:, place : place + 1] * out
            views.append(mixed + self.own[number](mixed) if len(self.own) else mixed)
        return views


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"batch": 4096, "dim": 64, "hidden": 0, "num": 4, "tasks": 5, "rank": 16, "rounds": 40, "threads": 1}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    given = parser.parse_args()
    clock = time.perf_counter if given.clock == "wall" else time.process_time
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    tasks = [f"task{place}" for place in range(given.tasks)]
    fused = MMoE(given.dim, tasks=tasks, num=given.num, hidden=given.hidden, rank=given.rank, dropout=0.0)
    loop = Loop(fused, tasks)
    x = torch.randn(given.batch, given.dim, requires_grad=True)
    ways: dict[str, Callable[[], list[Tensor]]] = {
        "fused": lambda: list(fused.views(x, tasks).values()),
        "loop": lambda: loop(x),
    }
    pairs = zip(ways["fused"](), ways["loop"](), strict=True)
    difference = max(float((one - two).detach().abs().max()) for one, two in pairs)
    assert difference < 1e-4, f"the two ways differ by {difference}"
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(given.rounds + 5):
        for name, run in ways.items():
            start = clock()
            torch.stack([one.square().mean() for one in run()]).sum().backward()  # type: ignore[no-untyped-call]
            if round_ >= 5:
                times[name].append(clock() - start)
            x.grad = None
            fused.zero_grad(set_to_none=True)
            loop.zero_grad(set_to_none=True)
    milliseconds = {name: 1000 * float(np.median(one)) for name, one in times.items()}
    ratios = np.array(times["loop"]) / np.array(times["fused"])
    print(
        json.dumps(
            {
                **vars(given),
                "hidden": fused.shared.hidden,
                "torch": torch.__version__,
                "difference": difference,
                "fused_ms": round(milliseconds["fused"], 3),
                "loop_ms": round(milliseconds["loop"], 3),
                "ratio": round(milliseconds["loop"] / milliseconds["fused"], 3),
                "ratio_quartiles": [round(float(one), 3) for one in np.quantile(ratios, [0.25, 0.5, 0.75])],
            }
        )
    )


if __name__ == "__main__":
    main()
