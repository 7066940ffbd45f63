"""Features that know the answer: found by what they can do, by when they exist, and by reading them again.

A model is no better than what it will be given on the day. Each check names the column and says what gave it away;
a legitimate feature may be strong, but none of the kind sorts a thousand customers without a mistake.
"""

# Shapes: n rows, F features

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, Flags
from shoploom.errors import DataError
from shoploom.features.encodings import folds, out_of_fold
from shoploom.features.selection import Kind, Rows, rank_correlations
from shoploom.features.timeline import FeatureTable
from shoploom.metrics.classification import auc

LEAK_AUC: Final = 0.99
LEAK_RANKS: Final = 0.99
BINS: Final = 40
FEWEST: Final = 20
CHANCE: Final = 1e-9
"""What is likelier than this may be chance: thousands of columns are looked at in a year."""

Check = Literal["answer", "missing", "label_only", "future", "as_of", "duplicates"]


@dataclass(frozen=True)
class Leak:
    """A column that should not be used as it is.

    Args:
        feature: Its name; ``rows`` for duplicate rows.
        check: Which check found it.
        strength: AUC, rank correlation or share, by check.
        why: A sentence for people.
    """

    feature: str
    check: Check
    strength: float
    why: str


def find_leaks(
    names: Sequence[str],
    rows: Rows,
    kind: Kind,
    *,
    texts: Mapping[str, Sequence[str]] | None = None,
    labelled: Flags | None = None,
    test: F64 | None = None,
) -> list[Leak]:
    """The checks that need nothing but rows: answers, missing values, labels only, duplicates.

    Args:
        names: (F,) of the columns.
        rows: Training rows.
        kind: Of the label.
        texts: Further columns as (n,) texts, empty where unknown.
        labelled: (n,) False where the target is made up because nobody knows it; None: all are known.
        test: (m, F) features of the rows that will be judged on.

    Raises:
        DataError: If names and columns do not match.
    """
    if rows.features.shape[1] != len(names):
        raise DataError(f"{rows.features.shape[1]} columns but {len(names)} names; give one name per column")
    known = np.ones(len(rows.target), dtype=bool) if labelled is None else labelled
    found: list[Leak] = []
    for column, name in enumerate(names):
        values = rows.features[:, column]
        found += _of_column(name, values[known], rows.target[known], kind)
        found += label_only(name, ~np.isnan(values), known)
    for name, words in (texts or {}).items():
        one = np.array(words, dtype=object)
        found += _of_words(name, one[known].tolist(), rows.target[known], kind)
        found += label_only(name, one != "", known)
    if test is not None:
        found += duplicates(rows.features, test)
    return found


def _of_column(name: str, values: F64, target: NDArray[Any], kind: Kind) -> Iterator[Leak]:
    present = ~np.isnan(values)
    strength, how = _tells(values[present], target[present], kind)
    limit = LEAK_RANKS if kind == "number" else LEAK_AUC
    if strength > limit:
        yield Leak(name, "answer", strength, f"{name} alone tells the label {how}: it saw the answer, or is made of it")
    yield from missing(name, present, target, kind)


def _of_words(name: str, words: Sequence[str], target: NDArray[Any], kind: Kind) -> Iterator[Leak]:
    """Texts, empty where unknown: what other rows with the same text say."""
    present = np.array([one != "" for one in words], dtype=bool)
    if kind != "number":
        strength = min(
            (auc(one, _other_rows([str(word) for word in words], one)) for one in _each_class(target)), default=0.0
        )
        if strength > LEAK_AUC:
            how = f"with an AUC of {strength:.3f}"
            yield Leak(
                name, "answer", strength, f"{name} alone tells the label {how}: it saw the answer, or is made of it"
            )
    yield from missing(name, present, target, kind)


def _tells(values: F64, target: NDArray[Any], kind: Kind) -> tuple[float, str]:
    """How well one column sorts the rows by label, and that in words."""
    if len(values) < FEWEST or len(np.unique(values)) < 2:
        return 0.0, ""
    if kind == "number":
        if len(np.unique(target)) < FEWEST:
            return 0.0, ""
        rho = abs(float(rank_correlations(np.column_stack([values, target]))[0, 1]))
        return rho, f"with a rank correlation of {rho:.3f}"
    scores = []
    for labels in _each_class(target):
        straight = auc(labels, values)
        scores.append(max(straight, 1 - straight, auc(labels, _other_rows(_bins(values), labels))))
    strength = min(scores, default=0.0)  # of several classes each must be told
    return strength, f"with an AUC of {strength:.3f}"


def _each_class(target: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """0/1 labels of each class with enough rows; of two classes only the second."""
    values, counts = np.unique(target, return_counts=True)
    for value in values[1:] if len(values) == 2 else values:
        labels = (target == value).astype(np.float64)
        if counts.min() >= 1 and FEWEST <= labels.sum() <= len(labels) - FEWEST:
            yield labels


def _bins(values: F64) -> list[str]:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    return [f"b{one}" for one in np.searchsorted(edges, values, side="left")]


def _other_rows(words: Sequence[str], labels: NDArray[np.float64]) -> F64:
    """(n,) rate of the label among rows of other folds with the same word: a rare word gives nothing away."""
    return out_of_fold(words, labels, folds(len(labels), 0))[0]


def missing(name: str, present: Flags, target: NDArray[Any], kind: Kind) -> Iterator[Leak]:
    """A column that is filled in (nearly) only where the label is one certain value, like a reason for leaving.

    Silent where that may be chance, or where nearly all rows have the label anyway.
    """
    from scipy.special import betainc

    if kind == "number" or not FEWEST <= present.sum() <= len(present) - FEWEST:
        return
    for value in np.unique(target):
        is_value = target == value
        for rows, where in ((present, "filled in"), (~present, "empty")):
            base, hits, count = float(is_value.mean()), int(is_value[rows].sum()), int(rows.sum())
            rate = hits / count
            # Nearly all rows of this kind have the label, though at most nine in ten of all have. The incomplete beta
            # function is the chance of so many hits or more among ``count`` rows that know nothing.
            if rate >= LEAK_AUC and base <= 0.9 and float(betainc(hits, count - hits + 1, base)) < CHANCE:
                why = f"where {name} is {where}, the label is {value:g} in {rate:.1%} of {count} rows, of all in "
                yield Leak(name, "missing", rate, f"{why}{base:.1%}: it was written after the fact")
                return


def label_only(name: str, present: Flags, labelled: Flags) -> Iterator[Leak]:
    """A column that exists exactly where the label does: it will be empty for whoever is asked about."""
    both = FEWEST <= labelled.sum() <= len(labelled) - FEWEST
    if both and 0 < present.sum() < len(present):
        agree = float((present == labelled).mean())
        if agree >= LEAK_AUC:
            why = f"{name} is known where the label is known and nowhere else ({agree:.1%} of rows agree)"
            yield Leak(name, "label_only", agree, why + ": rows to be predicted will not have it")


def future_times(times: Mapping[str, F64], moment: F64) -> list[Leak]:
    """Columns with times after the moment at which the row is asked.

    Args:
        times: Name to (n,) days, NaN where unknown.
        moment: (n,) days.
    """
    found = []
    for name, values in times.items():
        late = values > moment
        if late.any():
            share, most = float(late.mean()), float((values - moment)[late].max())
            why = f"{name} lies after the moment of the question in {int(late.sum())} rows ({share:.1%}), up to "
            found.append(Leak(name, "future", share, f"{why}{most:.1f} days"))
    return found


def as_of_violations(whole: FeatureTable, earlier: FeatureTable) -> list[Leak]:
    """Features that change when everything from the moment of the question on is taken away.

    Args:
        whole: Read from all events.
        earlier: The same questions, read from the events strictly before their moments only.

    Raises:
        DataError: If the two tables have other names or numbers of rows.
    """
    if whole.names != earlier.names or whole.values.shape != earlier.values.shape:
        raise DataError("compare the same features of the same rows; the two tables differ in names or rows")
    found = []
    for column, name in enumerate(whole.names):
        one, other = whole.values[:, column], earlier.values[:, column]
        changed = ~np.isclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True)
        if changed.any():
            share = float(changed.mean())
            why = f"{name} changes in {int(changed.sum())} rows ({share:.1%}) without the events after the moment"
            found.append(Leak(name, "as_of", share, why + ": it looks ahead"))
    return found


def duplicates(train: F64, test: F64) -> list[Leak]:
    """Rows that stand in both parts, beyond what is usual in a table with few different rows.

    What is usual is measured inside the training rows: the share of rows there that equal another one.
    """
    if not len(train) or not len(test):
        return []
    keys = {row.tobytes() for row in _plain(train)}
    shared = np.array([row.tobytes() in keys for row in _plain(test)], dtype=bool)
    _, place, counts = np.unique(_plain(train), axis=0, return_inverse=True, return_counts=True)
    usual = float((counts[place.ravel()] > 1).mean())
    share = float(shared.mean())
    noise = 4 * np.sqrt(max(usual * (1 - usual), 1 / len(test)) / len(test))
    if share <= usual + max(noise, 0.01):
        return []
    why = f"{int(shared.sum())} of {len(test)} test rows ({share:.1%}) equal a training row, inside the training rows "
    return [Leak("rows", "duplicates", share, why + f"{usual:.1%} equal another: the split is not clean")]


def _plain(features: F64) -> F64:
    """The same numbers with one kind of NaN and of zero, so that equal rows have equal bytes."""
    return np.ascontiguousarray(np.where(np.isnan(features), np.float64(-1.2345e300), features) + 0.0)
