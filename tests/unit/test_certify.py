from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoploom import certify as module
from shoploom.certify import Run, certify, read_run, write_run
from shoploom.config import Config, TrainConfig
from shoploom.data.workspace import Workspace
from shoploom.ensemble.members.specialist import Specialist
from shoploom.errors import UsageError
from shoploom.evaluation.certificate import FOLDER, Cost, latest_certificate, write_certificate
from shoploom.pipeline import train
from shoploom.tasks.base import Classes, Numbers, Ranked
from shoploom.training import loop
from tests.services import make_workspace

TRAIN = TrainConfig(size="tiny", device="cpu", tasks=("churn", "spend", "price"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(loop.STEPS, "tiny", 4)
    made = make_workspace(tmp_path / "shop")
    yield made
    made.close()


def config(workspace: Workspace, **changed) -> Config:
    return replace(workspace.config, train=replace(TRAIN, **changed))


def trainings(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, **options):
    """A certificate, and what was trained for it: (tasks, seed)."""
    told: list[str] = []
    made = certify(
        workspace, options.pop("config", config(workspace)), progress=lambda stage, *_: told.append(stage), **options
    )
    return made, list(dict.fromkeys(told))


def test_joint_and_alone_are_compared_and_trainings_are_kept(workspace, monkeypatch):
    made, told = trainings(workspace, monkeypatch, seeds=2)
    assert [one for one in told if "seed" in one] == [
        *("all tasks, seed 0", "all tasks, seed 1"),
        *(f"{task}, seed {seed}" for task in TRAIN.tasks for seed in (0, 1)),
    ]
    assert {one.task for one in made.tasks} == set(TRAIN.tasks)
    assert set(made.cost) == {"joint", *TRAIN.tasks}
    assert 0 < made.shares["parameters"] < 1
    assert latest_certificate(workspace.path / FOLDER) == made
    again, told = trainings(workspace, monkeypatch, seeds=2)
    assert told == []
    assert again.lines == made.lines
    _, told = trainings(workspace, monkeypatch, seeds=3)
    assert {one.partition("seed ")[2] for one in told} == {"2"}
    _, told = trainings(workspace, monkeypatch, seeds=1, fresh=True)
    assert len([one for one in told if "seed" in one]) == 4


def test_other_settings_and_other_code_are_trained_anew(workspace, monkeypatch):
    trainings(workspace, monkeypatch, seeds=1)
    _, told = trainings(workspace, monkeypatch, seeds=1, config=config(workspace, dropout=0.3))
    assert len([one for one in told if "seed" in one]) == 4
    monkeypatch.setattr(module, "code_fingerprint", lambda: "other")
    _, told = trainings(workspace, monkeypatch, seeds=1)
    assert len([one for one in told if "seed" in one]) == 4


def test_affinities_know_every_other_task(workspace, monkeypatch):
    made, _ = trainings(workspace, monkeypatch, seeds=1)
    assert set(made.affinity) == set(TRAIN.tasks)
    assert set(made.affinity["churn"]) == {"spend", "price"}
    assert sorted(one for names in made.groups for one in names) == sorted(TRAIN.tasks)


def test_groups_are_trained_where_that_is_asked_for(workspace, monkeypatch):
    monkeypatch.setattr(module, "grouped", lambda affinity, names: [["churn", "spend"], ["price"]])
    made, told = trainings(workspace, monkeypatch, seeds=1, group=True)
    assert "churn + spend, seed 0" in told
    assert {one.task for one in made.grouped} == {"churn", "spend"}


@pytest.mark.parametrize("changed", [{"seeds": 0}, {"config": {"tasks": ("churn",)}}])
def test_what_cannot_be_compared_is_refused(workspace, monkeypatch, changed):
    options = {name: config(workspace, **one) if name == "config" else one for name, one in changed.items()}
    with pytest.raises(UsageError, match=r"seeds is 0|only churn"):
        trainings(workspace, monkeypatch, **options)


def test_a_harmed_task_gets_a_specialist_that_serves_and_comes_back_from_disk(workspace, monkeypatch):
    made, _ = trainings(workspace, monkeypatch, seeds=1)
    write_certificate(replace(made, routes={"price": ["price"]}), workspace.path / FOLDER)
    result = train(workspace, config(workspace))
    task = result.report["tasks"]["price"]
    assert "specialist" in task["members"]
    assert task["served_by"] != "shared"
    assert "specialist" not in result.report["tasks"]["churn"]["members"]
    assert result.report["certificate"]["same_data"]
    assert "single-task twins" in result.report["certificate"]["summary"]


def test_a_certificate_of_another_size_routes_nothing(workspace, monkeypatch):
    made, _ = trainings(workspace, monkeypatch, seeds=1)
    other = replace(made, routes={"price": ["price"]}, config=made.config | {"size": "base"})
    write_certificate(other, workspace.path / FOLDER)
    result = train(workspace, config(workspace))
    assert "specialist" not in result.report["tasks"]["price"]["members"]


def test_answers_of_every_shape_come_back(tmp_path):
    answers = {
        "ranked": Ranked(np.array([[3, -1]], dtype=np.int32), np.array([[0.5, -np.inf]])),
        "numbers": Numbers({"mean": np.array([1.0]), "p10": np.array([0.5])}),
        "classes": Classes({"age": ("old", "young")}, {"age": np.array([[0.25, 0.75]])}),
    }
    write_run(tmp_path / "run", Run(answers, Cost(1.5, 1.25, 10)))
    found = read_run(tmp_path / "run")
    assert found.cost == Cost(1.5, 1.25, 10)
    np.testing.assert_array_equal(found.answers["ranked"].items, answers["ranked"].items)
    assert found.answers["numbers"].columns["p10"].tolist() == [0.5]
    assert found.answers["classes"].values == {"age": ("old", "young")}
    np.testing.assert_array_equal(found.answers["classes"].probabilities["age"], [[0.25, 0.75]])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["answers"]["ranked"] == {"shape": "ranked"}


def test_a_specialist_goes_on_from_its_weights_and_is_saved_whole(workspace, tmp_path):
    from shoploom.data.arrays import ShopArrays
    from shoploom.tasks import TASKS

    shop = ShopArrays.build(replace(workspace.load_tables(), clock=workspace.config.clock))
    task = TASKS.load("price")()
    cases = task.serve_cases(shop)
    one = Specialist(TRAIN, partners=("churn",))
    one.fit(shop, task)
    assert one.model is not None
    assert set(one.model.model.heads) == {"price", "churn"}
    steps = one.model.history.steps
    one.fit(shop, task)
    assert one.model.history.steps == steps  # of the first training: the second went on from it
    one.save(tmp_path / "saved")
    again = Specialist.load(tmp_path / "saved")
    np.testing.assert_allclose(again.predict(shop, cases).columns["mean"], one.predict(shop, cases).columns["mean"])
