"""Does anything against class imbalance help? Every method before and after, on validation rows.

    python ../shared/judge/judge.py split probability:online_shoppers_intention SPLIT --data ../shared/data
    python -m benchmarks.imbalance SPLIT/train.parquet --label revenue

Prints JSON: by learner (LightGBM, a small network) and method the means over seeds of AUC, average precision, log loss,
calibration error, macro F1, recall and precision at 0.5, and the differences from doing nothing with their standard
deviation. The rows are split 70 : 30 by seed into those to learn from and those to validate on; give it a training
table, so that no row is looked at by which models are judged.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.training.imbalance import METHODS, compare, focal_loss

ROUNDS, EPOCHS, BATCH = 150, 15, 256


def read(path: Path, label: str) -> tuple[F64, NDArray[np.int64]]:
    """Numbers as they are, texts as one column per value; (n, F) features and (n,) labels."""
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    frame = frame.drop("row_id", strict=False)
    texts = [name for name, kind in frame.schema.items() if kind in (pl.Utf8, pl.Boolean) and name != label]
    target = frame[label].cast(pl.Int8).to_numpy().astype(np.int64)
    features = frame.drop(label).to_dummies(texts).cast(pl.Float64).to_numpy()
    return features, target


def trees(features: F64, labels: F64, *, weight: F64, gamma: float) -> Callable[[F64], F64]:
    """LightGBM; the focal loss as an objective of its own, its slope and curvature by automatic differentiation."""
    import lightgbm

    params: dict[str, Any] = {"learning_rate": 0.05, "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 0}
    data = lightgbm.Dataset(features, labels, weight=weight)
    if not gamma:
        booster = lightgbm.train(params | {"objective": "binary"}, data, ROUNDS)
        return lambda rows: np.asarray(booster.predict(rows), dtype=np.float64)
    start = float(np.log(labels.mean() / (1 - labels.mean())))

    def slopes(raw: F64, _: Any) -> tuple[F64, F64]:
        z = torch.tensor(raw + start, dtype=torch.float64, requires_grad=True)
        loss = focal_loss(z, torch.tensor(labels), gamma=gamma).sum()
        (first,) = torch.autograd.grad(loss, z, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), z)
        return first.detach().numpy() * weight, np.maximum(second.numpy(), 1e-4) * weight

    booster = lightgbm.train(params | {"objective": slopes}, data, ROUNDS)
    return lambda rows: 1 / (1 + np.exp(-(np.asarray(booster.predict(rows, raw_score=True)) + start)))


def network(features: F64, labels: F64, *, weight: F64, gamma: float) -> Callable[[F64], F64]:
    """Two hidden layers on standardised logarithms."""
    torch.manual_seed(0)
    logs = np.log1p(np.maximum(features, 0))
    mean, scale = logs.mean(axis=0), np.maximum(logs.std(axis=0), 1e-6)

    def prepared(rows: F64) -> torch.Tensor:
        return torch.tensor((np.log1p(np.maximum(rows, 0)) - mean) / scale, dtype=torch.float32)

    net = torch.nn.Sequential(
        torch.nn.Linear(features.shape[1], 64), torch.nn.ReLU(), torch.nn.Dropout(0.2),
        torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1),
    )  # fmt: skip
    x, y, w = prepared(features), torch.tensor(labels), torch.tensor(weight)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(y)), BATCH):
            loss = (w[rows] * focal_loss(net(x[rows])[:, 0].double(), y[rows], gamma=gamma)).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    net.eval()

    def predict(rows: F64) -> F64:
        with torch.no_grad():
            return np.asarray(torch.sigmoid(net(prepared(rows))[:, 0]).double().numpy())

    return predict


LEARNERS = {"lightgbm": trees, "network": network}


def run(features: F64, labels: NDArray[np.int64], seeds: int) -> dict[str, Any]:
    """By learner and method: mean of each measure, and mean and deviation of its change over seeds."""
    found: dict[str, Any] = {}
    for learner, fit in LEARNERS.items():
        rounds = []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(labels))
            train, valid = np.split(order, [int(0.7 * len(labels))])
            rounds.append(compare(fit, (features[train], labels[train]), (features[valid], labels[valid]), seed=seed))
        found[learner] = {method: _summary(rounds, method) for method in METHODS}
    return found


def _summary(rounds: list[dict[str, dict[str, float]]], method: str) -> dict[str, Any]:
    means = {name: float(np.mean([one[method][name] for one in rounds])) for name in rounds[0][method]}
    changes = {
        name: [one[method][name] - one["none"][name] for one in rounds]
        for name in ("auc", "ap", "log_loss", "macro_f1")
    }
    after = {
        name: [round(float(np.mean(one)), 4), round(float(np.std(one, ddof=1)), 4)] for name, one in changes.items()
    }
    return {name: round(value, 4) for name, value in means.items()} | {"minus_none": after}


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="Parquet or CSV, may be compressed")
    parser.add_argument("--label", default="revenue")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    features, labels = read(options.table, options.label)
    result = run(features, labels, max(2, options.seeds))
    head = {"table": options.table.name, "rows": len(labels), "positives": round(float(labels.mean()), 4)}
    print(json.dumps({**head, "seeds": options.seeds, "learners": result}, indent=1))


if __name__ == "__main__":
    main()
