"""Which features are worth having: four measures of importance, redundancy, and a choice that is checked.

Works on plain arrays: columns may come from a shop or from any table. Every measure is fitted on training rows;
permutation importance and the final comparison are read on validation rows, never on test rows.
"""

# Shapes: n rows, F features, R repeats or runs, V classes

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, Flags
from shoploom.errors import DataError, UsageError
from shoploom.metrics.classification import auc, class_log_loss

Kind = Literal["binary", "classes", "number"]
Codes = NDArray[np.int64]
ROUNDS: Final = 100
PARAMS: Final[dict[str, Any]] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.5,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
NULL_RUNS, REPEATS = 40, 5
LEVEL = 0.05
"""A gain that shuffled labels reach as often as this is noise."""
ALIKE = 0.95
"""Features with rank correlations from here on say the same."""
MOST_ROWS: Final = 4000
"""Rows that mutual information looks at: its cost grows faster than its precision."""


@dataclass(frozen=True)
class Rows:
    """Features and labels of some rows.

    Args:
        features: (n, F) float, NaN for unknown.
        target: (n,) 0 and 1, class codes from 0 on, or numbers.
    """

    features: F64
    target: NDArray[Any]

    def columns(self, chosen: Sequence[int] | NDArray[Any]) -> Rows:
        """The same rows with some of the features."""
        return Rows(self.features[:, np.asarray(chosen, dtype=np.int64)], self.target)


@dataclass(frozen=True)
class Rated:
    """What is known of one feature.

    Args:
        name: Of the feature.
        permutation: Mean loss of validation score when its values are shuffled among rows.
        permutation_spread: Standard deviation of that over the repeats.
        gain: Share of the trees' gain.
        null_gain: The 95 % quantile of its gain with shuffled labels, as a share of the same sum.
        null_p: How often shuffled labels reach the gain, (1 + times) / (1 + runs).
        information: Mutual information with the label, in nats.
        group: Number of its group of features that say the same.
        kept: Whether it is chosen.
        reason: Why not, or why.
    """

    name: str
    permutation: float
    permutation_spread: float
    gain: float
    null_gain: float
    null_p: float
    information: float
    group: int
    kept: bool
    reason: str


@dataclass(frozen=True)
class Selection:
    """The choice, best features first.

    Args:
        rated: All features.
        metric: What the scores are; more is better.
        score_all, score_kept: Validation scores with all and with the kept features.
        score_none: What a constant scores.
    """

    rated: tuple[Rated, ...]
    metric: str
    score_all: float
    score_kept: float
    score_none: float

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the chosen features, best first."""
        return tuple(one.name for one in self.rated if one.kept)


class Learner:
    """Small gradient-boosted trees of one kind of label, the ruler with which features are measured.

    Args:
        kind: ``binary``, ``classes`` or ``number``.
        rounds: Trees (per class).
    """

    def __init__(self, kind: Kind, *, rounds: int = ROUNDS) -> None:
        self.kind = kind
        self.rounds = rounds

    def fit(self, rows: Rows, *, seed: int) -> Any:
        """A booster with ``predict`` and ``feature_importance``."""
        import lightgbm

        objective = {"binary": "binary", "classes": "multiclass", "number": "regression_l1"}[self.kind]
        options: dict[str, Any] = PARAMS | {"objective": objective, "seed": seed}
        if self.kind == "classes":
            options["num_class"] = int(rows.target.max(initial=1)) + 1
        data = lightgbm.Dataset(rows.features, rows.target, params=options)
        return lightgbm.train(options, data, self.rounds)

    def gains(self, rows: Rows, *, seed: int) -> F64:
        """(F,) sums of the gain of the splits by each feature.

        Sums and not shares: beside a strong feature a weak one has a smaller share than among shuffled labels.
        """
        return np.asarray(self.fit(rows, seed=seed).feature_importance("gain"), dtype=np.float64)

    @property
    def metric(self) -> str:
        """Name of what ``score`` gives."""
        return {"binary": "auc", "classes": "information gain", "number": "skill"}[self.kind]

    def score(self, target: NDArray[Any], predicted: F64) -> float:
        """More is better.

        Binary: AUC. Classes: nats that are won over the labels' own shares. Number: 1 − mean absolute error over that
        of the median: 0 knows nothing, 1 everything.
        """
        if self.kind == "binary":
            return auc(target, predicted)
        if self.kind == "classes":
            codes = np.asarray(target, dtype=np.int64)
            shares = np.bincount(codes) / len(codes)
            entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
            return entropy - float(class_log_loss(codes, predicted).mean())
        error = float(np.abs(target - predicted).mean())
        return 1 - error / max(float(np.abs(target - np.median(target)).mean()), 1e-12)

    @property
    def nothing(self) -> float:
        """Score of somebody who knows nothing."""
        return 0.5 if self.kind == "binary" else 0.0


def permutation_importance(
    predict: Callable[[F64], F64],
    rows: Rows,
    score: Callable[[NDArray[Any], F64], float],
    *,
    repeats: int = REPEATS,
    seed: int = 0,
) -> F64:
    """(F, R) by how much the score falls when one feature's values are dealt out anew among the rows.

    Args:
        predict: A fitted model.
        rows: Rows that it was not fitted on.
        score: More is better.
        repeats: R.
        seed: Of the shuffles.

    References:
        Breiman 2001, "Random Forests", section 10; Fisher, Rudin and Dominici 2019, arXiv:1801.01489, Eq. (3.2), here
        as a difference of scores.
    """
    draws = np.random.default_rng(seed)
    base = score(rows.target, predict(rows.features))
    found = np.zeros((rows.features.shape[1], repeats))
    shuffled = rows.features.copy()
    for column in range(len(found)):
        for repeat in range(repeats):
            shuffled[:, column] = draws.permutation(rows.features[:, column])
            found[column, repeat] = base - score(rows.target, predict(shuffled))
        shuffled[:, column] = rows.features[:, column]
    return found


def null_importance(
    gains: Callable[[Rows, int], F64],
    rows: Rows,
    *,
    runs: int = NULL_RUNS,
    seed: int = 0,
    told: Callable[[int, int], None] | None = None,
) -> tuple[F64, F64, F64]:
    """Importances beside those with shuffled labels: what a feature seems to be worth when there is nothing to learn.

    Args:
        gains: (rows, seed) to (F,) importances.
        rows: Training rows.
        runs: R, how often labels are shuffled.
        seed: Of the shuffles.
        told: Is told (done, runs).

    Returns:
        (F,) real importances, (R, F) null ones, (F,) p-values (1 + times that null ≥ real) / (1 + R).

    References:
        Altmann et al. 2010, "Permutation importance: a corrected feature importance measure", section 2.2; the
        p-value is the permutation test's, not that of a fitted distribution.
    """
    draws = np.random.default_rng(seed)
    real = gains(rows, seed)
    null = np.zeros((runs, rows.features.shape[1]))
    for run in range(runs):
        null[run] = gains(Rows(rows.features, draws.permutation(rows.target)), seed + run + 1)
        if told is not None:
            told(run + 1, runs)
    return real, null, (1 + (null >= real).sum(axis=0)) / (1 + runs)


def mutual_information(rows: Rows, kind: Kind, *, seed: int = 0) -> F64:
    """(F,) nats that one feature alone tells of the label, whatever the shape of the relation.

    Nearest-neighbour estimates on at most ``MOST_ROWS`` rows; unknown values count as the column's median.

    References:
        Kraskov, Stögbauer and Grassberger 2004, arXiv:cond-mat/0305641, Eq. (8); Ross 2014 for classes.
    """
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    draws = np.random.default_rng(seed)
    chosen = draws.permutation(len(rows.target))[:MOST_ROWS]
    features, target = _filled(rows.features[chosen]), rows.target[chosen]
    measure = mutual_info_regression if kind == "number" else mutual_info_classif
    return np.asarray(measure(features, target, random_state=seed), dtype=np.float64)


def alike(features: F64, *, limit: float = ALIKE) -> Codes:
    """(F,) numbers of groups within which every pair has a rank correlation of at least ``limit``, either way.

    Complete linkage on 1 − |Spearman's rho|; constant columns are alone.

    Example:
        >>> x = np.arange(10.0)
        >>> groups = alike(np.column_stack([x, -(x**3), np.tile([0.0, 1.0], 5)]))
        >>> bool(groups[0] == groups[1] != groups[2])
        True
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    count = features.shape[1]
    if count < 2:
        return np.zeros(count, dtype=np.int64)
    distance = 1 - np.abs(rank_correlations(features))
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(np.maximum(distance, 0.0), checks=False), "complete")
    return np.asarray(fcluster(tree, 1 - limit + 1e-12, "distance"), dtype=np.int64) - 1


def rank_correlations(features: F64) -> F64:
    """(F, F) Spearman's rho of all pairs, 0 for constant columns; unknown values count as the column's median."""
    ranks = np.apply_along_axis(_ranks, 0, _filled(features))
    ranks = ranks - ranks.mean(axis=0)
    scale = np.sqrt((ranks**2).sum(axis=0))
    ranks = np.divide(ranks, scale, out=np.zeros_like(ranks), where=scale > 1e-12)
    return np.asarray(ranks.T @ ranks)


def select(
    names: Sequence[str],
    train: Rows,
    valid: Rows,
    kind: Kind,
    *,
    runs: int = NULL_RUNS,
    repeats: int = REPEATS,
    rounds: int = ROUNDS,
    limit: float = ALIKE,
    level: float = LEVEL,
    seed: int = 0,
    told: Callable[[str, int, int], None] | None = None,
) -> Selection:
    """Rate all features and choose those that are more than noise and not said by a better one.

    A feature goes if its gain is one that shuffled labels reach as often as ``level``, or if a feature of its group
    has a higher permutation importance. Both scores of the validation rows, with all and with the kept features, say
    what the choice costs.

    Args:
        names: (F,) of the columns.
        train: Rows to fit on.
        valid: Later rows, or others at least.
        kind: Of the label.
        runs: Shufflings of the label.
        repeats: Shufflings of each column.
        rounds: Trees of the models that measure.
        limit: Rank correlation from which on features say the same.
        level: See above.
        seed: Of everything random.
        told: Is told (stage, done, all).

    Raises:
        DataError: If names and columns do not match, or a label has one value only.
        UsageError: If there are too few runs to tell a p-value as small as ``level``.
    """
    _check(names, train, valid)
    if 1 / (1 + runs) > level:
        raise UsageError(f"{runs} shufflings cannot show a p-value of {level:g}; take {round(1 / level) - 1} or more")
    tell = told or (lambda stage, done, total: None)
    learner = Learner(kind, rounds=rounds)
    booster = learner.fit(train, seed=seed)
    tell("permutation importance", 0, 1)
    dropped = permutation_importance(booster.predict, valid, learner.score, repeats=repeats, seed=seed)
    real, null, p = null_importance(
        lambda rows, one: learner.gains(rows, seed=one),
        train,
        runs=runs,
        seed=seed,
        told=lambda done, total: tell("gains with shuffled labels", done, total),
    )
    tell("mutual information", 0, 1)
    information = mutual_information(train, kind, seed=seed)
    groups, importance = alike(train.features, limit=limit), dropped.mean(axis=1)
    noise, whole = p > level, max(float(real.sum()), 1e-12)
    best = _best(groups, importance, noise)
    kept = ~noise & (best == np.arange(len(names)))
    rated = [
        Rated(
            name=name,
            permutation=float(importance[row]),
            permutation_spread=float(dropped[row].std()),
            gain=float(real[row] / whole),
            null_gain=float(np.quantile(null[:, row], 0.95) / whole),
            null_p=float(p[row]),
            information=float(information[row]),
            group=int(groups[row]),
            kept=bool(kept[row]),
            reason=_reason(bool(noise[row]), bool(kept[row]), float(p[row]), names[int(best[row])]),
        )
        for row, name in enumerate(names)
    ]
    tell("compare", 0, 1)
    return Selection(
        rated=tuple(sorted(rated, key=lambda one: (not one.kept, -one.permutation))),
        metric=learner.metric,
        score_all=learner.score(valid.target, booster.predict(valid.features)),
        score_kept=_score(learner, train, valid, kept, seed),
        score_none=learner.nothing,
    )


def _best(groups: Codes, importance: F64, noise: Flags) -> Codes:
    """(F,) per feature the one of its group that stays: the most important one that is no noise."""
    order = np.lexsort((-importance, noise, groups))
    firsts = order[np.concatenate([[True], np.diff(groups[order]) != 0])] if len(order) else order
    leader = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    leader[groups[firsts]] = firsts
    return np.asarray(leader[groups], dtype=np.int64)


def _reason(noise: bool, kept: bool, p: float, leader: str) -> str:
    if noise:
        return f"noise: shuffled labels give it as much gain (p = {p:.2f})"
    return "tells something that no other does" if kept else f"says the same as {leader}"


def _score(learner: Learner, train: Rows, valid: Rows, kept: Flags, seed: int) -> float:
    if not kept.any():
        return learner.nothing
    chosen = np.flatnonzero(kept)
    model = learner.fit(train.columns(chosen), seed=seed)
    return learner.score(valid.target, model.predict(valid.features[:, chosen]))


def _check(names: Sequence[str], train: Rows, valid: Rows) -> None:
    for part, rows in (("training", train), ("validation", valid)):
        if rows.features.shape != (len(rows.target), len(names)):
            raise DataError(
                f"the {part} rows are {rows.features.shape} numbers for {len(rows.target)} labels and {len(names)} "
                "names; wanted one row per label and one column per name"
            )
        if len(np.unique(rows.target)) < 2:
            raise DataError(
                f"the label of the {part} rows has one value only; nothing can be chosen by it. Take a longer history "
                "or another label"
            )


def _ranks(values: F64) -> F64:
    """(n,) ranks from 1 on, equal values sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


def _filled(features: F64) -> F64:
    """Unknown and infinite values as the column's median, 0 in a column without any."""
    known = np.where(np.isfinite(features), features, np.nan)
    empty = np.isnan(known).all(axis=0)
    middle = np.zeros(features.shape[1])
    middle[~empty] = np.nanmedian(known[:, ~empty], axis=0)
    return np.where(np.isnan(known), middle, known)
