"""A made-up evaluation report with the shapes that training writes, for a shop that does not exist."""

from __future__ import annotations

from typing import Any


def spread(value: float, width: float) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def make_task(metric: str, members: dict[str, float], *, lower: bool = False, **extra: Any) -> dict[str, Any]:
    width = 0.04 * max(abs(value) for value in members.values())
    served = (min if lower else max)(members, key=lambda name: members[name])
    return {
        "title": extra.pop("title", "What will happen?"),
        "metric": metric,
        "lower_is_better": lower,
        "served_by": served,
        "reason": f"{served} has the best {metric}",
        "cases": 1873,
        "missing": None,
        "members": {name: {metric: spread(value, width), "other": spread(value / 2, width)}
                    for name, value in members.items()},
        "differences": {name: spread(members["shared"] - value, width / 2)
                        for name, value in members.items() if name != "shared"},
        "slices": {},
        "calibration": None,
        "coverage": None,
        **extra,
    }  # fmt: skip


def make_beyond(members: dict[str, float]) -> dict[str, Any]:
    """What the lists of some members are like: made from a number of each, the more the further from best sellers."""
    metrics = {
        name: {"coverage@10": {"value": reach, "low": None, "high": None},
               "novelty@10": spread(20 * reach, 0.2), "never_bought@10": spread(1 - reach, 0.01),
               "vector_diversity@10": {"value": None, "low": None, "high": None},
               "popularity_lift@10": spread(0.5 - reach, 0.1)}
        for name, reach in members.items()
    }  # fmt: skip
    kinds = {"head": 1402, "tail": 611, "new": 87}
    return {
        "cases": 1873,
        "catalogue": 40211,
        "members": metrics,
        "bought": {"novelty@10": spread(5.57, 0.1), "never_bought@10": spread(0.571, 0.01)},
        "segments": {
            "customers": {"metric": "ndcg@10", "parts": {
                kind: {"cases": cases, "members": {name: spread(0.1 * cases * one / 903, 0.004)
                                                   for name, one in members.items()}}
                for kind, cases in (("new", 212), ("occasional", 903), ("loyal", 758))}},
            "products": {"metric": "recall@20", "parts": {
                kind: {"cases": cases, "members": {name: spread(one * cases / 1402, 0.004)
                                                   for name, one in members.items()}}
                for kind, cases in kinds.items()}},
        },
    }  # fmt: skip


def make_report() -> dict[str, Any]:
    """A report with the shapes that training writes, for a shop that does not exist."""
    customers = {
        "new": {"cases": 212, "members": {"shared": 0.061, "tifu_knn": 0.052}},
        "occasional": {"cases": 903, "members": {"shared": 0.079, "tifu_knn": 0.081}},
        "loyal": {"cases": 758, "members": {"shared": 0.112, "tifu_knn": 0.108}},
    }
    bins = [0.05, 0.15, 0.25, 0.35, 0.5, 0.7, 0.9]
    tasks = {
        "next_basket": make_task(
            "ndcg@10",
            {"shared": 0.0952, "popularity": 0.041, "personal_frequency": 0.082, "tifu_knn": 0.0931},
            title="What will this customer put into the next basket?",
            slices=customers,
            coverage=0.84,
            beyond=make_beyond(
                {"shared": 0.0692, "popularity": 0.0002, "personal_frequency": 0.0881, "tifu_knn": 0.1056}
            ),
        ),
        "churn": make_task(
            "auc",
            {"shared": 0.871, "few_trips": 0.812, "logistic": 0.866, "lightgbm_churn": 0.875},
            title="Who is about to leave?",
            calibration={"predicted": bins, "observed": [0.04, 0.17, 0.22, 0.38, 0.47, 0.73, 0.88],
                         "count": [900, 310, 150, 90, 60, 40, 12]},
        ),
        "spend": make_task(
            "wape", {"shared": 0.52, "recent_mean": 0.61, "lightgbm_spend": 0.531}, lower=True,
            title="How much will this customer spend?",
        ),
        "demand": make_task(
            "wape", {"shared": 0.404, "eight_weeks": 0.431, "lightgbm_demand": 0.369}, lower=True,
            title="How many pieces will sell, week by week?",
        ),
        "profile": {**make_task("macro_f1", {"shared": 0.3}), "missing": "no customer has attributes", "members": {}},
    }  # fmt: skip
    curve = [1.0, 0.71, 0.55, 0.48, 0.45, 0.43]
    return {
        "shop": {"name": "Corner <Shop>", "currency": "EUR", "timezone": "Europe/London",
                 "caveat": "Made-up numbers for a test."},
        "data": {"counts": {"events": 1469307, "products": 92331, "customers": 801, "promotions": 20940},
                 "first": "2017-01-01T11:53:26", "last": "2018-01-01T04:01:20",
                 "quality": {"findings": [
                     {"severity": "warning", "message": "8,869 events have quantity 0; they count by their amount"},
                     {"severity": "info", "message": "4,836 lines name a product without a catalogue entry"}]}},
        "version": "v0003", "created_at": "2026-03-04T10:11:12+00:00", "seed": 0, "size": "small",
        "tasks": tasks,
        "curves": {name: {"train": curve, "valid": [1.1 * v + 0.02 * i for i, v in enumerate(curve)]}
                   for name in ("next_basket", "churn", "spend", "demand")},
        "cost": {"seconds": {"load": 4.1, "court": 61.3, "train": 118.4, "refit": 44.0, "publish": 1.2},
                 "peak_memory_mb": 2310.5, "parameters": {"shared": 4810233, "lightgbm_churn": 3100}},
        "warnings": ["price: the difference to lightgbm_price is within chance"],
    }  # fmt: skip
