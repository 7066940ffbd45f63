"""All members over a table as one model: labels out of folds say whom to trust, and what to answer.

model = FusedTable().fit(frame, labels=["rating", "department"])
model.predict(other)                # a column of classes per label
model.probabilities(other)          # (N, K) per label
"""

# Shapes: N rows, M members, K classes

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.tables import SERVING, TABLES
from shoploom.ensemble.tables.base import Logits, TableMember
from shoploom.ensemble.tables.blend import blended, fit_weights
from shoploom.ensemble.tables.decision import choose_offsets, lifted
from shoploom.errors import NotReadyError, UsageError
from shoploom.features.table import TablePipeline, TableShape, TableView
from shoploom.features.table_labels import LabelSet, inputs_of, leaks

FOLDS = 4
PIPELINE = "pipeline"
Said = Callable[[str], None]


class FusedTable:
    """One model for all labels of a table.

    Args:
        members: Unfitted; by default one of each name in ``SERVING``.
        folds: Parts of the rows; every member answers for each part having seen the others only.
        alone: Members that will answer by themselves, too, for comparison, and choose their own offsets for that.
        say: Told what is going on and what looks wrong, such as a column that gives a label away.
    """

    def __init__(
        self,
        members: Sequence[TableMember] | None = None,
        *,
        folds: int = FOLDS,
        alone: Sequence[str] = (),
        say: Said | None = None,
    ) -> None:
        if folds < 2:
            raise UsageError(f"folds={folds}: at least 2 are needed to see what members say about unseen rows")
        chosen = [TABLES.load(name)() for name in SERVING] if members is None else list(members)
        self.fitted: dict[str, list[TableMember]] = {one.name: [one] for one in chosen}
        self.folds = folds
        self.alone = tuple(alone)
        self.say: Said = say or (lambda line: None)
        self.pipeline = TablePipeline()
        self.classes: dict[str, tuple[str, ...]] = {}
        self.weights: dict[str, dict[str, float]] = {}
        self.scales: dict[str, dict[str, float]] = {}
        self.offsets: dict[str, dict[str, F64]] = {}
        self.warnings: list[str] = []
        self.seconds: dict[str, float] = {}

    def fit(self, frame: pl.DataFrame, *, labels: Sequence[str], leave_out: Sequence[str] = (), seed: int = 0) -> Self:
        """Fit all members on folds, then learn whom to trust and when to name a rare class.

        Args:
            frame: Training rows with inputs and labels; empty labels are unknown.
            labels: Names of the label columns.
            leave_out: Columns that are no input, such as ids.
            seed: Of everything random.

        Raises:
            SchemaError: If a label has fewer than two classes, or a column cannot be read.
            DataError: If there are no rows or no input that changes.
        """
        known = LabelSet.read(frame, labels)
        inputs = inputs_of(frame, labels, leave_out)
        self.pipeline = TablePipeline().fit(inputs, seed=seed)
        self.classes = dict(known.classes)
        view, shape = self.pipeline.transform(inputs), self.pipeline.shape
        self.warnings = leaks(view, shape, known)
        for line in self.warnings:
            self.say(f"warning: {line}")
        fold = fold_of(inputs, self.folds, seed)
        unseen = {name: self._fit_member(name, view, shape, known, fold, seed) for name in self.fitted}
        for label in labels:
            rows = known.known(label)
            codes = known.codes[label][rows]
            told = {name: one[label][rows] for name, one in unseen.items() if label in one}
            found = fit_weights(list(told.values()), codes)
            self.weights[label] = dict(zip(told, found.tolist(), strict=True))
            self.offsets[label] = {"": choose_offsets(blended(told, self.weights[label]), codes, seed=seed)}
            for name in [one for one in self.alone if one in told]:
                scale = {name: float(fit_weights([told[name]], codes)[0])}
                self.scales.setdefault(label, {}).update(scale)
                alone = blended({name: told[name]}, scale)
                self.offsets[label][name] = choose_offsets(alone, codes, seed=seed)
        return self

    def _fit_member(
        self, name: str, view: TableView, shape: TableShape, labels: LabelSet, fold: NDArray[np.int64], seed: int
    ) -> Logits:
        """Answers for rows not seen; afterwards the member is what serves."""
        start = time.perf_counter()
        member, copies, parts = self.fitted[name][0], [], []
        for one in range(self.folds):
            rest, own = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
            member = member.fresh()
            member.fit(
                view.take(rest),
                shape,
                labels.take(rest),
                held=(view.take(own), labels.take(own)),
                seed=seed * self.folds + one,
            )
            copies.append(member)
            parts.append(member.logits(view.take(own)))
        if member.refit:
            member = member.fresh()
            member.fit(view, shape, labels, seed=seed)
            copies = [member]
        self.fitted[name] = copies
        self.seconds[name] = time.perf_counter() - start
        self.say(f"{name}: {self.seconds[name]:.0f} s")
        order = np.argsort(np.concatenate([np.flatnonzero(fold == one) for one in range(self.folds)]))
        shared = [label for label in parts[0] if all(label in part for part in parts)]
        return {label: np.concatenate([part[label] for part in parts])[order] for label in shared}

    def member_logits(self, frame: pl.DataFrame) -> dict[str, Logits]:
        """What each member says about the rows, the mean of its copies."""
        if not self.classes:
            raise NotReadyError("the model has learned nothing yet; call fit, or load a saved one")
        view = self.pipeline.transform(frame)
        return {name: _mean([one.logits(view) for one in copies]) for name, copies in self.fitted.items()}

    def probabilities(self, frame: pl.DataFrame) -> dict[str, F64]:
        """(N, K) of every label, columns in the order of ``classes``."""
        if self.classes and not frame.height:
            return {label: np.zeros((0, len(each))) for label, each in self.classes.items()}
        return self.fused(self.member_logits(frame))

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The class of every label, chosen for the mean F1 of the classes."""
        return self.decided(self.probabilities(frame))

    def fused(self, logits: Mapping[str, Logits], *, only: str = "") -> dict[str, F64]:
        """Probabilities from the members' logits, or from those of one of ``alone`` where it knows the label."""
        found = {}
        for label, weights in self.weights.items():
            told = {name: one[label] for name, one in logits.items() if name in weights and label in one}
            if only in self.scales.get(label, {}):
                told, weights = {only: told[only]}, self.scales[label]
            found[label] = blended(told, weights)
        return found

    def decided(self, probabilities: Mapping[str, F64], *, only: str = "") -> pl.DataFrame:
        """A column of classes per label."""
        columns = {}
        for label, one in probabilities.items():
            offsets = self.offsets[label].get(only, self.offsets[label][""])
            columns[label] = pl.Series(label, [self.classes[label][code] for code in lifted(one, offsets)], pl.Utf8)
        return pl.DataFrame(columns)

    def save(self, folder: Path | str) -> None:
        """The pipeline, the weights of the fusion, and each member in a folder of its own."""
        folder = Path(folder)
        settings, arrays = self.pipeline.state()
        save_state(folder / PIPELINE, settings, arrays)
        about: dict[str, Any] = {
            "folds": self.folds,
            "classes": [(label, list(one)) for label, one in self.classes.items()],
            "weights": [(label, list(one.items())) for label, one in self.weights.items()],
            "scales": [(label, list(one.items())) for label, one in self.scales.items()],
            "offsets": [
                (label, [(name, one.tolist()) for name, one in each.items()]) for label, each in self.offsets.items()
            ],
            "members": [(name, len(copies)) for name, copies in self.fitted.items()],
            "warnings": self.warnings,
        }
        save_state(folder, about)
        for name, copies in self.fitted.items():
            for place, one in enumerate(copies):
                one.save(folder / name / str(place))

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The saved model."""
        folder = Path(folder)
        about, _ = load_state(folder)
        model = cls([], folds=about["folds"])
        model.pipeline = TablePipeline.from_state(*load_state(folder / PIPELINE))
        model.classes = {label: tuple(one) for label, one in about["classes"]}
        model.weights = {label: dict(each) for label, each in about["weights"]}
        model.scales = {label: dict(each) for label, each in about["scales"]}
        model.offsets = {label: {name: np.array(one) for name, one in each} for label, each in about["offsets"]}
        model.warnings = about["warnings"]
        for name, count in about["members"]:
            kind = TABLES.load(name)
            model.fitted[name] = [kind.load(folder / name / str(place)) for place in range(count)]
        return model


def fold_of(inputs: pl.DataFrame, folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each row; rows with equal inputs share one, so that no copy of a row gives its label away."""
    group = inputs.hash_rows(seed=0).rank("dense").to_numpy().astype(np.int64) - 1
    shuffled = np.random.default_rng([seed, 29]).permutation(int(group.max()) + 1)
    return np.asarray(shuffled[group] % folds)


def told_on_stderr(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _mean(parts: Sequence[Logits]) -> Logits:
    """Per label the mean over those that know it."""
    labels = dict.fromkeys(label for one in parts for label in one)
    return {label: np.mean([one[label] for one in parts if label in one], axis=0) for label in labels}
