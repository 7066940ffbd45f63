"""The shared model as members: one per task, all on one set of weights."""

# Shapes: B cases, U distinct items, I items, D width, k list length

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoploom.config import TrainConfig
from shoploom.data.arrays import F32, F64, ShopArrays
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.errors import NotReadyError, ShoploomError, WorkspaceError
from shoploom.features.panel import PanelSource, cut_rows
from shoploom.features.pipeline import FeaturePipeline, ShopView
from shoploom.model.build import NUM_RATES, ModelSpec, build_model
from shoploom.model.encoders.item import ItemBatch
from shoploom.model.heads.demand import demand_batch
from shoploom.model.heads.wide_classes import WideClassesHead
from shoploom.model.inputs import candidate_batch, visit_batch
from shoploom.model.multitask import MultiTaskModel
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Classes, Numbers, Prediction, Ranked, Task
from shoploom.tasks.values import class_values
from shoploom.training.batches import DISCOVER, REPEAT
from shoploom.training.calibrate import Calibration, from_dict, to_dict
from shoploom.training.checkpoint import load_model, save_model
from shoploom.training.loop import History
from shoploom.training.shared import SharedModel, train_shared

CHUNK = 128
INSTANT = 1e-6
"""Days; what happened strictly before a moment counts."""
FORMAT = 4
"""Of ``model.json`` and the weights beside it; raise it when older ones can no longer be read."""
MOST_KEPT = 100_000
"""Customers whose states are kept: 30 MB with 64 numbers each."""
MOST_REMEMBERED = 4096
"""Customers whose states are made before the service opens: two seconds."""
CPU = torch.device("cpu")
ITEM_CHUNK = 4096


class SharedAnswers:
    """Answers of a trained model; features and item vectors of a shop are made once and kept.

    Args:
        shared: The trained model.
        values: Value names of class tasks, by task and attribute.
    """

    def __init__(self, shared: SharedModel, values: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
        self.shared = shared
        self.model: MultiTaskModel = shared.model.eval()
        self.values = {task: dict(names) for task, names in values.items()}
        self._view: ShopView | None = None
        self._vectors: Tensor | None = None
        self._grown: tuple[ShopView, Tensor] | None = None
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, shared: SharedModel, shop: ShopArrays) -> SharedAnswers:
        """With the value names that the shop's labels had in training."""
        tasks: list[Task] = [TASKS.load(name)() for name in shared.spec.heads]
        return cls(shared, {task.name: class_values(shop, task) for task in tasks if task.shape == "classes"})

    # ------------------------------------------------------------------------------------------------ state

    @torch.no_grad()
    def prepared(self, shop: ShopArrays) -> tuple[ShopView, Tensor]:
        """Features and vectors (I, D) of the shop's whole catalogue.

        They are made again where other data came in; products that were added only get theirs beside the others.
        """
        with self._lock:
            if self._view is None or self._vectors is None or not self._view.serves(shop):
                made = self.shared.view  # of the shop it was trained on
                same = made is not None and made.shop.catalogue is shop.catalogue and made.serves(shop)
                self._view = made if made is not None and same else self.shared.pipeline.view(shop)
                self._grown, self._kept = None, {}
                self._vectors = self._encoded(self._view, np.arange(len(shop.items)))
            if len(shop.items) == self._view.num_items:
                return self._view, self._vectors
            if self._grown is None or self._grown[0].shop.catalogue is not shop.catalogue:
                view = self._view.grown(shop)
                new = self._encoded(view, np.arange(self._view.num_items, len(shop.items)))
                self._grown = view, torch.cat([self._vectors, new])
            return self._grown

    @torch.no_grad()
    def reread(self, shop: ShopArrays, row: int, *, shelf_price: float) -> None:
        """Replace the features and the vector of one product.

        Args:
            shop: With the changed catalogue.
            row: The product.
            shelf_price: What it usually costs, NaN where unknown; it counts more than the catalogue's price.
        """
        with self._lock:
            if self._view is None or self._vectors is None or row >= self._view.num_items:
                return  # not read yet; or added later, and read anew with every change of the catalogue
            view, vectors = self._view.reread(shop, row, shelf_price), self._vectors.clone()
            vectors[row] = self._encoded(view, np.array([row]))[0]  # an answer in the making keeps the old ones
            self._view, self._vectors, self._grown, self._kept = view, vectors, None, {}

    @contextmanager
    def undisturbed(self, shop: ShopArrays) -> Iterator[None]:
        """Be asked about another shop inside the block, and know this one at once after it."""
        self.prepared(shop)  # else the other shop would be taken for the one to keep
        kept = self._grown
        yield
        self._grown = kept

    def _encoded(
        self, view: ShopView, rows: NDArray[np.integer], hide: frozenset[str] = frozenset(), task: str = ""
    ) -> Tensor:
        num_ids = self.shared.spec.num_ids
        parts = [
            self.model.encode_items_for(task, ItemBatch.of(view.item_arrays, part, num_ids), hide)
            for part in _chunks(rows, ITEM_CHUNK)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, self.model.items.dim)

    # ---------------------------------------------------------------------------------------------- answers

    @torch.no_grad()
    def predict(self, shop: ShopArrays, task: Task, cases: Cases) -> Prediction:
        """Answer the cases of a task as of ``shop.end``."""
        if task.name not in self.model.heads:
            raise ShoploomError(f"the shared model was not trained on task {task.name!r}; train again with it")
        if task.space == "block":
            return self._demand(shop, task, cases)
        if task.shape == "ranking":
            return self._ranked(shop, task, cases)
        if task.space == "product":
            x = self._encoded(self.prepared(shop)[0], cases.units, task.hides, task.name)
            return self._numbers(task, self.model.shared("product", x, task.name), None)
        states, rates = self._states(shop, cases.units)
        viewed, head = self.model.shared("customer", states, task.name), self.model.heads[task.name]
        if isinstance(head, WideClassesHead):
            wide = self.prepared(shop)[0].tastes(shop, cases.units)
            return self._classes(task, head.answer(viewed, torch.from_numpy(wide.astype(np.float32))))
        return self._numbers(task, viewed, rates)

    def _numbers(self, task: Task, x: Tensor, rates: Tensor | None) -> Prediction:
        head = self.model.heads[task.name]
        if task.shape == "classes":
            return self._classes(task, head(x))
        if task.shape == "binary":
            return Numbers({"probability": torch.sigmoid(head(x)).double().numpy()})
        out = head(x, rates) if task.shape == "amount" else torch.exp(head(x))
        return self._calibrated(task, *out.double().numpy().T)

    def _classes(self, task: Task, logits: dict[str, Tensor]) -> Classes:
        shares = {name: torch.softmax(one, dim=1).double().numpy() for name, one in logits.items()}
        return Classes({name: tuple(one) for name, one in self.values[task.name].items()}, shares)

    def _calibrated(self, task: Task, mean: F64, low: F64, high: F64) -> Numbers:
        return Numbers(self.shared.calibration.get(task.name, Calibration()).apply(mean, low, high))

    def _states(self, shop: ShopArrays, units: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
        """States (B, D) and rates (B, NUM_RATES); of customers without live events they are made once.

        Who else was in the batch then changes their last digit: sums of other shapes are added in another order.
        """
        self.prepared(shop)  # first, for it forgets states of other data
        kept, rows = self._kept, units.tolist()
        found = {row: kept[row] for row in set(rows) if row in kept and row not in shop.live}
        missing = np.array([row for row in dict.fromkeys(rows) if row not in found], dtype=np.int32)
        for part in _chunks(missing, CHUNK):
            found |= zip(part.tolist(), zip(*self._fresh_states(shop, part), strict=True), strict=True)
        if not found:
            return torch.zeros(0, self.model.items.dim), torch.zeros(0, NUM_RATES)
        sealed = len(shop.offsets) - 1
        with self._lock:
            kept |= {row: found[row] for row in missing.tolist() if 0 <= row < sealed and row not in shop.live}
            while len(kept) > MOST_KEPT:
                del kept[next(iter(kept))]
        states, rates = zip(*(found[row] for row in rows), strict=True)
        return torch.stack(states), torch.stack(rates)

    def _fresh_states(self, shop: ShopArrays, units: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
        view, vectors = self.prepared(shop)
        visits = view.visits(units, shop=shop)
        as_of = (known_until(shop, units) - view.shop.end)[:, None]
        places = torch.from_numpy(visits.line_items.astype(np.int64))
        state = self.model.encode_customers(visit_batch(visits, as_of, vectors, places))
        return state.vector[:, 0].clone(), state.rates[:, 0].clone()

    @torch.no_grad()
    def remember(self, shop: ShopArrays) -> None:
        """Make the states of the customers who came last ahead of their questions."""
        last = np.full(len(shop.offsets) - 1, -np.inf)
        some = np.diff(shop.offsets) > 0
        last[some] = shop.lines.time[shop.offsets[1:][some] - 1]
        known = np.flatnonzero(some)
        self._states(shop, known[np.argsort(-last[known], kind="stable")[:MOST_REMEMBERED]].astype(np.int32))

    def _ranked(self, shop: ShopArrays, task: Task, cases: Cases) -> Ranked:
        view, vectors = self.prepared(shop)
        exclude = cases.repeats == "exclude" or (cases.repeats == "auto" and task.name == "new_for_you")
        when = np.full(len(cases), shop.end) if cases.when is None else cases.when
        items = np.full((len(cases), cases.k), -1, dtype=np.int32)
        scores = np.full((len(cases), cases.k), -np.inf)
        head, start = self.model.heads[task.name], 0
        reach = DISCOVER if exclude else REPEAT
        reach = replace(reach, popular=max(reach.popular, cases.k))
        for part in _chunks(cases.units, CHUNK):
            rows = slice(start, start + len(part))
            start += len(part)
            state = self._states(shop, part)[0]
            as_of = known_until(shop, part)
            past = view.past(part, as_of, shop=shop)
            visit = np.maximum(when[rows], as_of)
            found = view.candidates(past, visit, exclude_own=exclude, allowed=cases.allowed, reach=reach)
            picked = vectors[torch.from_numpy(np.maximum(found.items, 0).astype(np.int64))]
            viewed = self.model.shared("customer", state, task.name)
            score = head(viewed, self.model.retrieval(state), picked, candidate_batch(found, CPU))
            items[rows], scores[rows] = _best(found.items, score.double().numpy(), cases.k)
        return Ranked(items, scores)

    def _demand(self, shop: ShopArrays, task: Task, cases: Cases) -> Numbers:
        assert cases.blocks is not None, "demand cases name their blocks"
        if not len(cases):
            return Numbers({name: np.zeros(0) for name in ("mean", "p10", "p90")})
        view, vectors = self.prepared(shop)
        items, place = np.unique(cases.units, return_inverse=True)
        source = PanelSource(shop, items, view.item_arrays.log_price)
        viewed = self.model.shared("block", vectors[torch.from_numpy(items.astype(np.int64))], task.name)
        panel = cut_rows(source.at(source.blocks), np.arange(len(items)))
        out = self.model.heads[task.name](viewed, demand_batch(panel, CPU)).double().numpy()
        return self._calibrated(task, *out[place, np.minimum(cases.blocks, out.shape[1] - 1)].T)


def known_until(shop: ShopArrays, customers: NDArray[np.integer]) -> F64:
    """(B,) moment up to which each history is known: the end of the data, or just after the last live event."""
    until = np.full(len(customers), shop.end)
    for place, row in enumerate(customers.tolist() if shop.live else []):
        if row in shop.live and len(shop.live[row]):
            until[place] = max(shop.end, float(shop.live[row].time.max()) + INSTANT)
    return until


class Shared:
    """One task of the shared model.

    Where a version is published, all tasks lead to one set of weights; saved alone, a member brings its own.

    Args:
        answers: A trained model; None before ``fit``.
        task: Name of the task.
        stored: Folder where the weights are already kept.
    """

    name: ClassVar[str] = "shared"

    def __init__(self, answers: SharedAnswers | None = None, task: str = "", stored: Path | None = None) -> None:
        self.answers = answers
        self.task = task
        self.stored = stored

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Train a model for this task alone (a single-task twin), at the smallest size."""
        shared = train_shared(shop, {task.name: task}, TrainConfig(size="tiny", seed=seed, device="cpu"))
        self.answers, self.task, self.stored = SharedAnswers.of(shared, shop), task.name, None

    def predict(self, shop: ShopArrays, cases: Cases) -> Prediction:
        """Answer the cases as of ``shop.end``."""
        return self._trained().predict(shop, TASKS.load(self.task)(), cases)

    def item_vectors(self, shop: ShopArrays) -> F32:
        """(I, D) float32 vectors of the catalogue, for similar products."""
        vectors: F32 = self._trained().prepared(shop)[1].numpy()
        return vectors

    def save(self, folder: Path) -> None:
        """The task's name and where the weights are; the weights, too, unless they are kept elsewhere."""
        home = self.stored or folder / "weights"
        if self.stored is None:
            save_answers(home, self._trained())
        save_state(folder, {"task": self.task, "weights": os.path.relpath(home, folder)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A member on the weights that it was saved with; members of one version share them in memory."""
        settings, _ = load_state(folder)
        home = (folder / settings["weights"]).resolve()
        return cls(load_answers(home), settings["task"], None)

    def _trained(self) -> SharedAnswers:
        if self.answers is None:
            raise NotReadyError("the shared model is not trained yet; call fit or load")
        return self.answers


def save_answers(folder: Path, answers: SharedAnswers) -> None:
    """Weights as safetensors, everything else as JSON."""
    save_model(folder, answers.model)
    state = {
        "format": FORMAT,
        "spec": answers.shared.spec.to_dict(),
        "features": answers.shared.pipeline.to_dict(),
        "values": answers.values,
        "history": vars(answers.shared.history),
        "calibration": to_dict(answers.shared.calibration),
    }
    (folder / "model.json").write_text(json.dumps(state), encoding="utf-8")


_LOADED: WeakValueDictionary[Path, SharedAnswers] = WeakValueDictionary()
_LOADING = threading.Lock()


def load_answers(folder: Path) -> SharedAnswers:
    """What ``save_answers`` wrote; one object per folder for as long as anybody uses it."""
    with _LOADING:
        found = _LOADED.get(folder)
        if found is None:
            found = _read_answers(folder)
            _LOADED[folder] = found
        return found


def _read_answers(folder: Path) -> SharedAnswers:
    path = folder / "model.json"
    if not path.is_file():
        raise WorkspaceError(f"{folder} holds no shared model: model.json is missing; train again or roll back")
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if state.get("format") != FORMAT:
        raise WorkspaceError(
            f"{path} was written by another version of Shoploom (format {state.get('format')}, wanted {FORMAT}); "
            "train again, or install the version that the manifest names"
        )
    spec, pipeline = ModelSpec.from_dict(state["spec"]), FeaturePipeline.from_dict(state["features"])
    model = build_model(spec, pipeline)
    load_model(folder, model)
    values = {
        task: {name: tuple(one) for name, one in attributes.items()} for task, attributes in state["values"].items()
    }
    history, calibration = History(**state["history"]), from_dict(state["calibration"])
    return SharedAnswers(SharedModel(model, spec, pipeline, history, calibration), values)


def _chunks(units: NDArray[np.integer], size: int) -> list[NDArray[np.integer]]:
    return [units[at : at + size] for at in range(0, len(units), size)]


def _best(items: NDArray[np.int32], score: F64, k: int) -> tuple[NDArray[np.int32], F64]:
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]
    best, found = np.take_along_axis(score, order, 1), np.take_along_axis(items, order, 1)
    found = np.where(np.isfinite(best), found, -1)
    width = k - found.shape[1]
    pad = ((0, 0), (0, max(0, width)))
    return np.pad(found, pad, constant_values=-1), np.pad(best, pad, constant_values=-np.inf)
