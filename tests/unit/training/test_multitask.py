"""Sharing and balancing in the training loop: the default is the plain sum, all resumes exactly and is recorded."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from shoploom.config import Config, TrainConfig
from shoploom.errors import ConfigError, UsageError
from shoploom.model.balancing import BALANCING
from shoploom.model.balancing.base import Balancer
from shoploom.model.balancing.static import Static
from shoploom.model.balancing.surgery import Surgery
from shoploom.model.choose import make_balancer
from shoploom.model.sharing import SHARING
from shoploom.training import loop
from shoploom.training.loop import DivergedError, Trainer, _dense
from shoploom.training.shared import require_choices, train_shared, usable_tasks
from tests.shops import make_shop

CONFIG = TrainConfig(size="tiny", device="cpu", patience=99)
SURGERY = ("pcgrad", "cagrad", "imtl_g", "nash", "aligned", "upgrad")
HAS_TORCHJD = importlib.util.find_spec("torchjd") is not None


class KilledError(Exception):
    """Stands for kill -9 at a step."""


@pytest.fixture(scope="module")
def shop():
    return make_shop(customers=40, products=24, days=150)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setitem(loop.STEPS, "tiny", 6)


def weights(shared):
    return {name: one.clone() for name, one in shared.model.state_dict().items()}


def equal(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def test_there_are_balancing_methods():
    assert len(BALANCING) >= 11


def test_the_default_is_the_plain_sum_of_the_losses(shop, monkeypatch):
    tasks, _ = usable_tasks(shop)
    found = weights(train_shared(shop, tasks, CONFIG))

    def plain(self, step, batch):
        self.model.train()
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        losses = self.losses(step, batch)
        total = torch.stack([1.0 * loss for loss in losses.values()]).sum()
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(_dense(self.model), 5.0)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    monkeypatch.setattr(Trainer, "_step", plain)
    assert equal(found, weights(train_shared(shop, tasks, CONFIG)))


def test_augmentation_and_imbalance_reach_the_model(shop):
    tasks, _ = usable_tasks(shop, ("next_basket", "profile"))
    plain = train_shared(shop, tasks, CONFIG)
    other = train_shared(shop, tasks, replace(CONFIG, augment=0.3, imbalance=0.0))
    assert (plain.model.customers.hidden_visits, other.model.customers.hidden_visits) == (0.0, 0.3)
    assert (plain.model.heads["profile"].strength, other.model.heads["profile"].strength) == (0.6, 0.0)
    assert not equal(weights(plain), weights(other))


@pytest.mark.parametrize("name", list(BALANCING))
def test_a_killed_run_resumes_with_what_the_balancing_had_learned(shop, name, tmp_path: Path, monkeypatch):
    if name in SURGERY and not HAS_TORCHJD:
        pytest.skip("the extra [mtl] is not installed; this holds until it is")
    tasks, _ = usable_tasks(shop, ("next_basket", "churn", "demand"))
    options = {"steps": 2} if name == "dwa" else {}
    config = replace(CONFIG, balancing=name, balancing_options=options, sharing="mmoe")
    whole = train_shared(shop, tasks, config)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every step

    def kill(step, total, losses):
        if step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train_shared(shop, tasks, config, folder=tmp_path, progress=kill)
    resumed = train_shared(shop, tasks, config, folder=tmp_path)
    assert resumed.history.weights == whole.history.weights
    assert resumed.history.gates == whole.history.gates
    assert equal(weights(whole), weights(resumed))
    recorded = whole.history.weights
    assert set(recorded) == {"next_basket", "churn", "demand", "retrieval"}
    moved = any(len(set(one)) > 1 for one in recorded.values())
    assert moved == (name != "static")


@pytest.mark.parametrize("name", list(SHARING))
def test_every_scheme_trains_and_is_told_of(shop, name):
    tasks, _ = usable_tasks(shop, ("next_basket", "churn", "spend"))
    tags = {}
    config = replace(CONFIG, sharing=name)
    shared = train_shared(shop, tasks, config, writer=lambda tag, value, step: tags.setdefault(tag, []).append(value))
    history = shared.history
    assert tags["weight/churn"] == history.weights["churn"] == [1.0] * 6
    gated = name not in ("none", "shared_bottom")
    assert set(history.gates) == (set(tasks) if gated else set())
    for task, rows in history.gates.items():
        assert len(rows) == 6
        assert len(history.experts[task]) == len(rows[0])
        assert sum(rows[-1]) == pytest.approx(1.0, abs=1e-6)
        for place, expert in enumerate(history.experts[task]):
            assert tags[f"gate/{task}/{expert}"] == [row[place] for row in rows]
        assert all(0 <= one <= 1 for one in tags[f"gate_balance/{task}"])


def test_options_of_the_scheme_reach_the_model_and_are_stored(shop):
    tasks, _ = usable_tasks(shop, ("churn", "spend"))
    shared = train_shared(shop, tasks, replace(CONFIG, sharing="mmoe", sharing_options={"num": 7.0}))
    assert shared.model.trunk("customer").gates(torch.zeros(1, 16), "churn").shape == (1, 7)
    assert type(shared.spec).from_dict(shared.spec.to_dict()) == shared.spec


def test_weights_of_tasks_count(shop):
    tasks, _ = usable_tasks(shop, ("churn", "spend"))
    plain = weights(train_shared(shop, tasks, CONFIG))
    heavy = train_shared(shop, tasks, replace(CONFIG, weights={"churn": 3.0, "price": 2.0}))
    assert heavy.history.weights == {"churn": [3.0] * 6, "spend": [1.0] * 6}
    assert not equal(plain, weights(heavy))


@pytest.mark.parametrize(
    ("tasks", "space", "layer"),
    [
        (("churn", "spend"), "trunk", lambda model: model.trunk("customer").shared[-1].weight),
        (("churn", "next_basket"), "customers", lambda model: model.customers.merge[-1].weight),
        (("churn", "demand"), "items", lambda model: model.items.block[2].weight),
    ],
)
def test_the_last_shared_layer_is_where_all_tasks_meet(shop, tasks, space, layer, monkeypatch):
    seen = []

    class Spy(Balancer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def backward(self, losses, *, parameters, last_shared=()):
            reached = [torch.autograd.grad(one, last_shared[0], retain_graph=True)[0] for one in losses.values()]
            seen.append((last_shared[0], [bool(one.any()) for one in reached]))
            self.inner.backward(losses, parameters=parameters, last_shared=last_shared)

        def after_step(self, losses):
            pass

        def task_weights(self):
            return self.inner.task_weights()

    from shoploom.training import shared as module

    monkeypatch.setattr(module, "_balancer", lambda config, losses: Spy(make_balancer("static", losses)))
    usable, _ = usable_tasks(shop, tasks)
    trained = train_shared(shop, usable, CONFIG)
    assert all(one is layer(trained.model) for one, _ in seen)
    assert all(all(reached) for _, reached in seen)


def test_nan_names_the_task_the_batch_and_what_to_try(shop, monkeypatch):
    tasks, _ = usable_tasks(shop, ("churn", "price"))
    losses = Trainer.losses
    monkeypatch.setattr(
        Trainer,
        "losses",
        lambda self, step, batch: losses(self, step, batch) | ({"price": torch.tensor(torch.inf)} if step else {}),
    )
    words = r"task 'price' became inf at step 1, batch of products 'p0\d\d', .* more; try a smaller train.learning_rate"
    with pytest.raises(DivergedError, match=words):
        train_shared(shop, tasks, CONFIG)


def test_a_gradient_that_is_not_finite_stops_before_it_spoils_the_weights(shop, monkeypatch):
    tasks, _ = usable_tasks(shop, ("churn",))
    losses = Trainer.losses

    def steep(self, step, batch):
        found = losses(self, step, batch)
        weight = self.model.items.block[2].weight
        return {"churn": found["churn"] + (weight - weight).square().sum().sqrt()}  # 0, with the slope of sqrt at 0

    monkeypatch.setattr(Trainer, "losses", steep)
    with pytest.raises(DivergedError, match=r"the gradient became nan, though all losses are finite .*'churn'"):
        train_shared(shop, tasks, CONFIG)


def test_a_heavy_weight_is_blamed(shop, monkeypatch):
    tasks, _ = usable_tasks(shop, ("churn",))
    monkeypatch.setattr(Trainer, "losses", lambda self, step, batch: {"churn": torch.tensor(float("nan"))})
    with pytest.raises(DivergedError, match=r"'churn' weighs 50: another train.balancing may do"):
        train_shared(shop, tasks, replace(CONFIG, weights={"churn": 50.0}))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"sharing": "mmo"}, UsageError, "sharing scheme 'mmo' is unknown.*Did you mean 'mmoe'"),
        ({"balancing": "gradnrom"}, UsageError, "balancing method 'gradnrom' is unknown.*Did you mean 'gradnorm'"),
        (
            {"balancing_options": {"alpha": 1}},
            UsageError,
            "'alpha' is unknown; known: none.*'alpha' belongs to grad",
        ),
        ({"weights": {"chrun": 2}}, UsageError, "task with a weight 'chrun' is unknown.*Did you mean 'churn'"),
        ({"weights": {"churn": 2}, "balancing": "dwa"}, ConfigError, "train.weights fixes the weights of churn, and"),
        ({"weights": {"churn": "a"}}, ConfigError, r"train.weights.churn is 'a', a str; wanted float"),
        ({"weights": 3}, ConfigError, r"train.weights is 3; wanted a table such as \{ churn = 2.0 \}"),
        ({"sharing_options": {"num": float("inf")}}, ConfigError, "train.sharing_options.num is inf; wanted a finite"),
    ],
)
def test_wrong_choices_are_refused_before_any_data_are_read(given, error, words):
    with pytest.raises(error, match=words):
        require_choices(Config.from_dict({"train": given}).train)


def test_the_choices_survive_the_configuration_file(tmp_path):
    config = replace(Config(), train=TrainConfig(sharing="ple", sharing_options={"levels": 2.0}, weights={"a b": 0.5}))
    (tmp_path / "shoploom.toml").write_text(config.to_toml(), encoding="utf-8")
    assert Config.read(tmp_path / "shoploom.toml") == config
    over = Config.read(tmp_path / "none.toml", ["train.weights={churn = 2}", "train.sharing=mmoe"])
    assert over.train.weights == {"churn": 2.0}
    assert Config.from_dict(over.to_dict()) == over


def test_static_and_surgery_are_balancers():
    assert issubclass(Static, Balancer)
    assert issubclass(Surgery, Balancer)


def test_customers_are_read_in_every_nth_step_and_products_in_each(shop, monkeypatch):
    monkeypatch.setitem(loop.EVERY, "tiny", 3)
    tasks, _ = usable_tasks(shop, ("churn", "price"))
    asked: list[set[str]] = []

    class Listening(Trainer):
        def losses(self, step, batch):
            found = super().losses(step, batch)
            asked.append(set(found))
            return found

    from shoploom.training import shared as module

    monkeypatch.setattr(module, "Trainer", Listening)
    trained = train_shared(shop, tasks, CONFIG)
    assert trained.history.steps == 3 * 6
    assert asked == [{"churn", "price"}, {"price"}, {"price"}] * 6
    assert len(trained.history.train["churn"]) == len(trained.history.train["price"]) == 6
