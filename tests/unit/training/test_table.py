"""Training over tables: what moves the loss, what ends the training, and what is done for rare classes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional

from shoploom.errors import DataError, UsageError
from shoploom.features.table import TablePipeline, piecewise_linear
from shoploom.features.table_labels import LabelSet
from shoploom.metrics.classification import auc
from shoploom.model.table import CrossLayer
from shoploom.training.table import (
    IMBALANCES,
    TableModel,
    TableRecipe,
    _drawn,
    _loss_of,
    as_batch,
    new_table_net,
    table_logits,
    train_table,
    train_table_net,
)
from tests.tables import LABELS, made_table

QUICK = TableRecipe(epochs=8, dim=32, text_width=16, width=4, learning_rate=1e-2)


def test_one_net_learns_all_labels_and_twins_learn_one():
    frame, other = made_table(900), made_table(300, 1)
    model = train_table(frame, LABELS, QUICK, leave_out=["id"])
    twin = train_table(frame, ["dear"], QUICK, leave_out=["id", "kind", "season"])
    found = model.predict(other)
    assert found["kind"].shape == (300, 3)
    np.testing.assert_allclose(found["kind"].sum(axis=1), 1.0)
    right = np.array(model.classes["kind"])[found["kind"].argmax(axis=1)] == other["kind"].to_numpy()
    assert right.mean() > 0.95
    for one in (found["dear"], twin.predict(other)["dear"]):
        assert auc(other["dear"].to_numpy(), one[:, 1]) > 0.85
    assert 0 < twin.num_parameters < model.num_parameters
    assert twin.seconds > 0


def test_the_same_seed_gives_the_same_net_and_another_another():
    frame = made_table(150)
    one, again, other = (train_table(frame, ["dear"], replace(QUICK, epochs=2), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.predict(frame)["dear"], again.predict(frame)["dear"])
    assert not np.array_equal(one.predict(frame)["dear"], other.predict(frame)["dear"])


def test_saved_and_loaded_models_predict_alike_and_inputs_stay_as_they_are():
    frame = made_table(150)
    before = frame.clone()
    model = train_table(frame, LABELS, replace(QUICK, epochs=1, norm="batch"), leave_out=["id"])
    settings, arrays = model.state()
    again = TableModel.from_state(json.loads(json.dumps(settings, sort_keys=True)), arrays)
    for label, one in model.predict(frame).items():
        np.testing.assert_array_equal(one, again.predict(frame)[label])
    assert frame.equals(before)


def test_unlabelled_rows_do_not_move_the_loss():
    labels = LabelSet({"y": ("a", "b")}, {"y": np.array([0, 1, 1, 0])})
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, -5.0]])
    loss = _loss_of(labels, "y", TableRecipe())
    # -log softmax by hand: log(1 + e^-2) and log(1 + e^-1)
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2
    assert float(loss(logits, torch.tensor([0, 1, -1]))) == pytest.approx(expected)
    assert float(loss(logits, torch.tensor([-1, -1, -1]))) == 0.0


def test_remedies_for_rare_classes_are_their_formulas():
    labels = LabelSet({"y": ("a", "b")}, {"y": np.array([0] * 9 + [1])})
    logits, codes = torch.tensor([[1.0, 0.0], [0.5, -0.5]]), torch.tensor([0, 1])
    shares = torch.tensor([0.9, 0.1])
    adjusted = _loss_of(labels, "y", TableRecipe(imbalance="adjust"))(logits, codes)
    assert float(adjusted) == pytest.approx(float(functional.cross_entropy(logits + shares.log(), codes)))
    p = torch.softmax(logits, 1)[[0, 1], codes]
    focal = _loss_of(labels, "y", TableRecipe(imbalance="focal", focus=3.0))(logits, codes)
    assert float(focal) == pytest.approx(float((-((1 - p) ** 3) * p.log()).mean()), rel=1e-5)
    weighted = _loss_of(labels, "y", TableRecipe(imbalance="weights"))(logits, codes)
    w = np.array([0.9**-0.5, 0.1**-0.5])
    assert float(weighted) == pytest.approx(float((-p.log().numpy() * w).sum() / w.sum()), rel=1e-5)


def test_over_and_under_sampling_bring_rare_classes_more_often():
    codes = np.array([0] * 950 + [1] * 50)
    labels = LabelSet({"y": ("a", "b")}, {"y": codes})
    rng = np.random.default_rng(0)
    plain, over, under = (_drawn(labels, one, rng) for one in ("none", "over", "under"))
    assert codes[plain].mean() == 0.05
    # weights 1 and (2 * 0.05)^-0.5 = 3.16: 0.05 * 3.16 / (0.05 * 3.16 + 0.95) = 0.143
    assert codes[over].mean() == pytest.approx(0.143, abs=0.03)
    assert codes[under].mean() == pytest.approx(0.143, abs=0.04)
    assert len(over) == 1000
    assert len(under) < 400


@pytest.mark.parametrize("imbalance", IMBALANCES)
def test_every_remedy_trains(imbalance):
    frame = made_table(120)
    model = train_table(frame, ["kind"], replace(QUICK, epochs=1, imbalance=imbalance))
    assert np.isfinite(model.predict(frame)["kind"]).all()


def test_training_ends_when_held_out_rows_say_so_and_the_best_state_stays():
    draws = np.random.default_rng(0)
    noise = pl.DataFrame({"x": draws.normal(size=200), "z": draws.normal(size=200), "y": draws.integers(2, size=200)})
    told: list[tuple[int, int, float]] = []
    recipe = replace(QUICK, epochs=60, patience=2)
    train_table(noise, ["y"], recipe, progress=lambda step, total, losses: told.append((step, total, losses["y"])))
    assert told[-1][0] < told[-1][1]
    losses = [one for *_, one in told]
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


def test_a_loss_that_is_no_number_names_label_and_step():
    frame = made_table(100).drop("id", *LABELS)
    pipeline = TablePipeline().fit(frame)
    labels = LabelSet.read(made_table(100), ["kind", "dear"])
    net = new_table_net(pipeline.shape, {"kind": 3, "dear": 2}, QUICK)
    with torch.no_grad():
        net.heads[1].bias.fill_(float("nan"))
    with pytest.raises(DataError, match=r"the loss of label 'dear' is nan at step 1; try a learning rate below 0\.01"):
        train_table_net(net, pipeline.transform(frame), labels, QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imbalance": "wieghts"}, "imbalance 'wieghts' is unknown"),
        ({"smoothing": 1.0}, "must lie in"),
        ({"epochs": 0}, "must be at least"),
        ({"imbalance": "focal", "smoothing": 0.1}, "contradict each other"),
    ],
)
def test_recipes_that_cannot_work_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        TableRecipe(**options)


def test_bins_of_the_net_are_those_of_the_features():
    frame = made_table(100).drop("id", *LABELS)
    pipeline = TablePipeline().fit(frame)
    view = pipeline.transform(frame)
    net = new_table_net(pipeline.shape, {"kind": 3}, QUICK)
    bins = net.fields.bins(torch.from_numpy(view.numbers)).numpy()
    np.testing.assert_allclose(bins[:, :, :-1], piecewise_linear(view.numbers, pipeline.shape.edges), atol=1e-6)
    np.testing.assert_array_equal(bins[:, :, -1], np.isnan(view.numbers))


def test_a_row_is_answered_alike_alone_and_among_others():
    frame = made_table(60)
    model = train_table(frame, LABELS, replace(QUICK, epochs=1), leave_out=["id"])
    for label, one in model.predict(frame).items():
        np.testing.assert_allclose(model.predict(frame[7:8])[label][0], one[7], atol=1e-6)


def test_categories_that_the_net_has_no_row_for_are_unknown_ones():
    frame = made_table(100).drop("id", *LABELS)
    pipeline = TablePipeline().fit(frame)
    net = new_table_net(pipeline.shape, {"kind": 3}, QUICK)
    view = pipeline.transform(frame.head(2))
    grown = replace(view, codes=np.array([[0, 0], [pipeline.shape.sizes[0] + 5, 0]], dtype=np.int32))
    places = net.fields.places(as_batch(grown).codes)
    assert places[0].tolist() == places[1].tolist()
    assert np.isfinite(table_logits(net, grown)["kind"]).all()


def test_a_cross_layer_is_its_equation():
    layer = CrossLayer(3)
    x0, x = torch.randn(2, 3), torch.randn(2, 3)
    expected = x0.numpy() * (x.numpy() @ layer.linear.weight.detach().numpy().T + layer.linear.bias.detach().numpy())
    np.testing.assert_allclose(layer(x0, x).detach().numpy(), expected + x.numpy(), rtol=1e-5, atol=1e-6)


def test_tokens_are_left_out_in_training_only_and_one_shared_word_is_enough():
    frame = pl.DataFrame({"title": ["common text a"] * 20 + ["other lines bb"] * 20, "y": [0] * 20 + [1] * 20})
    model = train_table(frame, ["y"], replace(QUICK, epochs=30, token_dropout=0.5, held=0.0))
    first, again = model.predict(frame)["y"], model.predict(frame)["y"]
    np.testing.assert_array_equal(first, again)
    assert (first.argmax(axis=1) == frame["y"].to_numpy()).all()
    view = model.pipeline.transform(frame.drop("y"))
    model.net.train()
    assert not torch.equal(model.net(as_batch(view))["y"][0], model.net(as_batch(view))["y"][0])
