from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shoploom.config import TrainConfig
from shoploom.ensemble.members.shared import FORMAT, Shared, SharedAnswers, load_answers, save_answers
from shoploom.errors import WorkspaceError
from shoploom.training import loop
from shoploom.training.calibrate import Calibration, calibrate
from shoploom.training.loop import DivergedError, Trainer
from shoploom.training.shared import train_shared, usable_tasks
from tests.shops import make_shop

CONFIG = TrainConfig(size="tiny", device="cpu", patience=99)


class KilledError(Exception):
    """Stands for kill -9 at a step."""


@pytest.fixture(scope="module")
def shop():
    return make_shop(customers=40, products=24, days=150)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setitem(loop.STEPS, "tiny", 12)


def weights(shared):
    return {name: one.clone() for name, one in shared.model.state_dict().items()}


def test_two_runs_with_one_seed_are_equal_to_the_last_bit(shop):
    tasks, _ = usable_tasks(shop)
    assert len(tasks) >= 7
    one, two = (weights(train_shared(shop, tasks, CONFIG)) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = weights(train_shared(shop, tasks, TrainConfig(size="tiny", device="cpu", patience=99, seed=1)))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kill_at", [3, 7])
def test_a_killed_run_continues_with_the_same_numbers(shop, kill_at, tmp_path: Path, monkeypatch):
    tasks, _ = usable_tasks(shop)
    whole = train_shared(shop, tasks, CONFIG)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every step

    def kill(step, total, losses):
        if step == kill_at:
            raise KilledError

    with pytest.raises(KilledError):
        train_shared(shop, tasks, CONFIG, folder=tmp_path, progress=kill)
    steps = []
    resumed = train_shared(
        shop, tasks, CONFIG, folder=tmp_path, progress=lambda step, total, losses: steps.append(step)
    )
    assert steps[0] in (kill_at, kill_at + 1)
    assert resumed.history.valid == whole.history.valid
    one, two = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_loss_that_is_not_finite_names_task_and_step(shop, monkeypatch):
    tasks, _ = usable_tasks(shop, ("churn",))
    monkeypatch.setattr(Trainer, "losses", lambda self, step, batch: {"churn": torch.tensor(float("nan"))})
    with pytest.raises(DivergedError, match=r"task 'churn' became nan at step 0, batch of this step; try a smaller"):
        train_shared(shop, tasks, CONFIG)


def test_training_lowers_the_losses(shop, monkeypatch):
    monkeypatch.setitem(loop.STEPS, "tiny", 48)
    tasks, _ = usable_tasks(shop, ("next_basket", "demand", "price"))
    history = train_shared(shop, tasks, CONFIG).history
    assert history.steps == 48
    for name in tasks:
        assert min(history.train[name][1:]) < history.train[name][0], name


def test_saved_and_loaded_models_answer_alike(shop, tmp_path):
    tasks, _ = usable_tasks(shop)
    answers = SharedAnswers.of(train_shared(shop, tasks, CONFIG), shop)
    save_answers(tmp_path / "shared", answers)
    again = load_answers(tmp_path / "shared")
    for name, task in tasks.items():
        cases = task.serve_cases(shop)
        one, two = answers.predict(shop, task, cases), again.predict(shop, task, cases)
        for first, second in zip(_arrays(one), _arrays(two), strict=True):
            np.testing.assert_array_equal(first, second, err_msg=name)


def test_a_model_of_another_format_says_so(shop, tmp_path):
    tasks, _ = usable_tasks(shop, ("churn",))
    save_answers(tmp_path / "shared", SharedAnswers.of(train_shared(shop, tasks, CONFIG), shop))
    path = tmp_path / "shared" / "model.json"
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    with pytest.raises(WorkspaceError, match=rf"format 99, wanted {FORMAT}\); train again"):
        load_answers(tmp_path / "shared")


def test_members_of_one_version_share_their_weights(shop, tmp_path):
    tasks, _ = usable_tasks(shop, ("churn", "spend"))
    answers = SharedAnswers.of(train_shared(shop, tasks, CONFIG), shop)
    save_answers(tmp_path / "shared", answers)
    for name in tasks:
        Shared(answers, name, tmp_path / "shared").save(tmp_path / name)
    one, two = Shared.load(tmp_path / "churn"), Shared.load(tmp_path / "spend")
    assert one.answers is two.answers
    assert not list(tmp_path.glob("churn/**/*.safetensors"))


def test_calibration_stretches_a_too_narrow_interval():
    rng = np.random.default_rng(0)
    truth = np.exp(rng.normal(0, 0.4, 4000))
    mean = np.ones(4000)
    found = calibrate(truth, mean, mean * 0.8, mean * 1.25)
    columns = found.apply(mean, mean * 0.8, mean * 1.25)
    covered = ((truth >= columns["p10"]) & (truth <= columns["p90"])).mean()
    assert found.factor == 1.0
    assert 0.75 < covered < 0.9
    assert found.low > 2
    assert found.high > 2


def test_relative_calibration_moves_the_point_below_the_median():
    truth = np.exp(np.random.default_rng(0).normal(0, 0.8, 4000))
    found = calibrate(truth, np.ones(4000), np.full(4000, 0.5), np.full(4000, 2.0), relative=True)
    assert found.factor < 0.9


def test_few_cases_change_nothing():
    assert calibrate(np.ones(5), np.ones(5), np.ones(5), np.ones(5), relative=True) == Calibration()


def _arrays(prediction):
    for name in ("items", "scores"):
        if hasattr(prediction, name):
            yield getattr(prediction, name)
    yield from getattr(prediction, "columns", {}).values()
    yield from getattr(prediction, "probabilities", {}).values()
