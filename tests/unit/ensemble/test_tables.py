"""Members over tables: promises that hold for all of them, their blend, and what is answered for rare classes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoploom.ensemble.tables import TABLES
from shoploom.ensemble.tables.blend import blended, fit_weights
from shoploom.ensemble.tables.decision import choose_offsets, lifted
from shoploom.ensemble.tables.fused import FusedTable, fold_of
from shoploom.ensemble.tables.network import Network
from shoploom.errors import NotReadyError, SchemaError, UsageError
from shoploom.features.table import TablePipeline
from shoploom.features.table_labels import LabelSet
from shoploom.metrics.classification import auc, macro_f1
from shoploom.training.table import TableRecipe
from tests.tables import LABELS, made_table

QUICK = TableRecipe(epochs=8, dim=32, text_width=16, width=4, learning_rate=1e-2)
members = pytest.mark.parametrize("name", TABLES)


def new(name: str):
    return Network(QUICK) if name == "network" else TABLES.load(name)()


def ready(number: int = 400, seed: int = 0):
    pipeline = TablePipeline().fit(made_table().drop("id", *LABELS))
    frame = made_table(number, seed)
    labels = LabelSet.read(made_table(), LABELS)
    codes = LabelSet.read(frame, LABELS)
    assert codes.classes == labels.classes
    return pipeline.transform(frame.drop("id", *LABELS)), pipeline.shape, codes


def test_the_table_is_not_empty():
    assert len(TABLES) >= 5


@members
def test_members_know_more_than_chance_and_one_logit_per_class(name):
    view, shape, labels = ready()
    other, _, truth = ready(200, 1)
    member = new(name)
    member.fit(view, shape, labels, held=(other, truth), seed=0)
    found = member.logits(other)
    assert set(found) == set(LABELS)
    for label, one in found.items():
        assert one.shape == (200, len(labels.classes[label]))
        assert np.isfinite(one).all()
    right = found["kind"].argmax(axis=1) == truth.codes["kind"]
    assert right.mean() > (0.5 if name == "most_frequent" else 0.7)
    if name != "most_frequent":
        assert auc(truth.codes["dear"], found["dear"][:, 1] - found["dear"][:, 0]) > 0.8


@members
def test_a_saved_member_answers_the_same_and_the_same_seed_learns_the_same(name, tmp_path):
    view, shape, labels = ready(150)
    member, again = new(name), new(name)
    member.fit(view, shape, labels, seed=3)
    again.fresh().fit(view, shape, labels, seed=5)
    again.fit(view, shape, labels, seed=3)
    member.save(tmp_path)
    loaded = type(member).load(tmp_path)
    for label, one in member.logits(view).items():
        np.testing.assert_array_equal(one, loaded.logits(view)[label])
        np.testing.assert_allclose(one, again.logits(view)[label], atol=1e-6)


@members
def test_a_fold_without_a_class_is_learned_and_the_class_ranks_last(name):
    view, shape, labels = ready(200)
    without = np.flatnonzero(labels.codes["kind"] != 2)
    member = new(name)
    member.fit(view.take(without), shape, labels.take(without), seed=0)
    assert (member.logits(view)["kind"].argmax(axis=1) == 2).mean() < 0.05


def test_weights_of_a_blend_trust_the_member_that_knows():
    draws = np.random.default_rng(0)
    codes = draws.integers(3, size=600)
    knows = 2.0 * np.eye(3)[codes] + draws.normal(size=(600, 3))
    guesses = draws.normal(size=(600, 3)) * 10
    weights = fit_weights([knows, guesses], codes)
    assert weights.min() >= 0
    # Gaussian logits: log p(class) = 2 x_class / 1, so the right multiple of the first member is 2
    assert weights[0] == pytest.approx(2.0, rel=0.15)
    assert weights[1] < 0.02
    found = blended({"a": knows, "b": guesses}, {"a": weights[0], "b": weights[1]})
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_offsets_win_macro_f1_where_a_class_is_rare_and_leave_good_answers_alone():
    draws = np.random.default_rng(0)
    codes = (draws.random(4000) < 0.08).astype(np.int64)
    score = draws.normal(size=4000) + 1.5 * codes
    positive = 0.08 * np.exp(-((score - 1.5) ** 2) / 2)
    negative = 0.92 * np.exp(-(score**2) / 2)
    p = np.column_stack([negative, positive]) / (positive + negative)[:, None]
    half = np.arange(4000) < 2000
    offsets = choose_offsets(p[half], codes[half])

    def f1(one):
        return macro_f1(codes[~half], lifted(p[~half], one), 2)(np.ones(2000))

    assert f1(offsets) > f1(np.zeros(2)) + 0.03
    sure = np.where(np.eye(2)[codes] > 0, 0.99, 0.01)
    np.testing.assert_array_equal(lifted(sure, choose_offsets(sure, codes)), codes)


def test_rows_with_equal_inputs_share_a_fold_and_folds_are_about_equal():
    frame = pl.DataFrame({"a": [i % 50 for i in range(200)], "b": ["x"] * 200})
    fold = fold_of(frame, 4, 0)
    assert all(len(set(fold[i::50])) == 1 for i in range(50))
    assert np.bincount(fold).min() >= 40


def test_the_fused_model_answers_for_all_labels_and_stays_the_same_on_disk(tmp_path):
    told: list[str] = []
    model = FusedTable([new("linear"), new("network"), new("lightgbm")], folds=2, say=told.append)
    model.fit(made_table(500), labels=LABELS, leave_out=["id"])
    other = made_table(200, 1)
    found = model.predict(other)
    assert found.columns == list(LABELS)
    assert (found["kind"] == other["kind"]).mean() > 0.95
    known = other["season"].is_not_null()
    assert (found["season"] == other["season"]).filter(known).mean() > 0.95
    model.save(tmp_path)
    again = FusedTable.load(tmp_path)
    assert again.predict(other).equals(found)
    for label, one in model.probabilities(other).items():
        np.testing.assert_array_equal(one, again.probabilities(other)[label])
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt")]
    assert not [line for line in told if line.startswith("warning")]


def test_a_column_that_gives_a_label_away_is_told():
    told: list[str] = []
    frame = made_table(200).with_columns(paid=pl.col("dear") + 0.5)
    FusedTable([new("most_frequent")], say=told.append).fit(frame, labels=["dear"], leave_out=["id"])
    assert any("column 'paid' alone ranks label 'dear'" in line for line in told)


def test_no_rows_have_no_answers_and_folders_may_be_text(tmp_path):
    model = FusedTable([new("linear"), new("most_frequent")], folds=2)
    with pytest.raises(NotReadyError, match="call fit"):
        model.predict(made_table(5))
    model.fit(made_table(300), labels=LABELS, leave_out=["id"])
    none = made_table(5).clear()
    assert model.predict(none).shape == (0, len(LABELS))
    assert all(one.shape[0] == 0 for one in model.probabilities(none).values())
    model.save(str(tmp_path / "model"))
    assert FusedTable.load(str(tmp_path / "model")).predict(none).height == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": ["dear"], "leave_out": ["idd"]}, "Did you mean 'id'"),
        ({"labels": ["dear"], "leave_out": ["dear"]}, "is a label"),
        ({"labels": "dear"}, "give a list"),
        ({"labels": ["weight"]}, "different fractions"),
    ],
)
def test_columns_that_are_misnamed_or_measured_are_refused(options, words):
    frame = made_table(200).with_columns(weight=pl.Series(np.random.default_rng(0).random(200)))
    with pytest.raises(SchemaError, match=words):
        FusedTable([new("most_frequent")]).fit(frame, **options)


def test_wrong_use_is_refused():
    with pytest.raises(UsageError, match="folds=1"):
        FusedTable([new("linear")], folds=1)
    with pytest.raises(SchemaError, match="the one class"):
        FusedTable([new("linear")]).fit(made_table().with_columns(kind=pl.lit("mug")), labels=["kind"])
