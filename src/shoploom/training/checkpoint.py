"""Checkpoints as safetensors and JSON, so that a killed run continues with the same numbers; never a pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer


def save_model(folder: Path, model: nn.Module) -> None:
    """The weights alone."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: one.detach().cpu().contiguous() for name, one in model.state_dict().items()},
        folder / "weights.safetensors",
    )


def load_model(folder: Path, model: nn.Module) -> None:
    """Weights that ``save_model`` wrote, into a model of the same shape."""
    model.load_state_dict(load_file(folder / "weights.safetensors"))


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Named tensors, written beside and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, {name: one.detach().cpu().contiguous() for name, one in weights.items()}, {})


def load_weights(path: Path) -> dict[str, Tensor]:
    """What ``save_weights`` wrote."""
    found: dict[str, Tensor] = load_file(path)
    return found


def save_checkpoint(
    path: Path, model: nn.Module, optimisers: dict[str, Optimizer], balancer: nn.Module, state: dict[str, Any]
) -> None:
    """Everything that a resumed run needs: written beside and renamed, so that a kill leaves the old one.

    Args:
        path: File to write.
        model: Its weights.
        optimisers: Their moments and step counts.
        balancer: What it has learned of the tasks.
        state: JSON-ready rest: position, history, best score.
    """
    tensors = {f"model/{name}": one.detach().cpu().contiguous() for name, one in model.state_dict().items()}
    tensors |= {f"balancer/{name}": one.detach().cpu().contiguous() for name, one in balancer.state_dict().items()}
    tensors["rng"] = torch.get_rng_state()
    for name, optimiser in optimisers.items():
        for number, values in optimiser.state_dict()["state"].items():
            for key, value in values.items():
                kept = value if isinstance(value, Tensor) else torch.tensor(float(value))
                tensors[f"optimiser/{name}/{number}/{key}"] = kept.detach().cpu().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, tensors, {"state": json.dumps(state)})


def load_checkpoint(
    path: Path, model: nn.Module, optimisers: dict[str, Optimizer], balancer: nn.Module
) -> dict[str, Any]:
    """Restore what ``save_checkpoint`` wrote and return its state."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    model.load_state_dict({name[6:]: one for name, one in tensors.items() if name.startswith("model/")})
    balancer.load_state_dict({name[9:]: one for name, one in tensors.items() if name.startswith("balancer/")})
    torch.set_rng_state(tensors["rng"])
    for name, optimiser in optimisers.items():
        kept: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            parts = key.split("/")
            if parts[0] == "optimiser" and parts[1] == name:
                plain = parts[3] == "step" and not isinstance(optimiser, torch.optim.AdamW)
                kept.setdefault(int(parts[2]), {})[parts[3]] = int(value) if plain else value
        whole = optimiser.state_dict()
        optimiser.load_state_dict({"state": kept, "param_groups": whole["param_groups"]})
    return state


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=metadata)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
