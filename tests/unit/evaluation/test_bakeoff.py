"""The bake-off: equal budgets, results that are kept, differences that are paired by seed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from shoploom.cli import app
from shoploom.config import TrainConfig
from shoploom.errors import UsageError
from shoploom.evaluation import bakeoff
from shoploom.evaluation.bakeoff import Bakery, Choice, Plan, Run, kept_losses, relative_loss, table, weights_to_try
from shoploom.pipeline import exam_of
from shoploom.tasks.churn import Churn
from shoploom.tasks.spend import Spend
from shoploom.training.loop import History
from tests.services import make_workspace
from tests.shops import make_shop

CONFIG = TrainConfig(size="tiny", device="cpu", tasks=("churn", "spend", "price"))


def run_of(seed, churn, spend, *, method="static", losses=None, seconds=2.0):
    return Run("ple", method, seed, 5, {"churn": churn, "spend": spend}, losses or {}, seconds, {}, {}, 10)


@pytest.fixture(scope="module")
def exam():
    return exam_of(make_shop(customers=60, products=24, days=170), CONFIG)


def bakery(exam, folder, told=None):
    tell = (lambda *given: None) if told is None else (lambda stage, done, total, losses: told.append((stage, total)))
    return Bakery(exam.seen, exam.tasks, exam.cases, CONFIG, folder, "data", tell)


def plan_of(*methods, sharing="shared_bottom", **options):
    settings = {"seeds": 2, "steps": 4, "trials": 3} | options
    return Plan(tuple(Choice.read(one) for one in methods), (Choice.read(sharing),), **settings)


def test_all_runs_have_the_same_steps_and_are_judged_on_the_horizon(exam, tmp_path):
    runs = bakery(exam, tmp_path).bake(plan_of("static", "dwa:steps=1", "tuned"))
    assert [(run.method, run.seed) for run in runs] == [
        (method, seed) for seed in (0, 1) for method in ("static", "dwa:steps=1", "tuned")
    ]
    assert {run.steps for run in runs} == {4}
    for run in runs:
        assert set(run.metrics) == set(exam.tasks)
        assert all(math.isfinite(one) for one in run.metrics.values())
        assert run.seconds > 0
    assert runs[2].weights
    assert runs[2].weights == runs[5].weights  # searched once
    assert not runs[0].weights


def test_results_are_kept_and_another_setting_is_another_run(exam, tmp_path):
    told = []
    first = bakery(exam, tmp_path, told).bake(plan_of("static", seeds=1))
    assert told
    told.clear()
    assert bakery(exam, tmp_path, told).bake(plan_of("static", seeds=1)) == first
    assert not told
    bakery(exam, tmp_path, told).bake(plan_of("static", seeds=2))
    assert {stage for stage, _ in told} == {"shared_bottom, static, seed 1"}
    told.clear()
    bakery(exam, tmp_path, told).bake(plan_of("static", seeds=1, steps=3))
    assert {total for _, total in told} == {3}
    assert not [one for one in tmp_path.iterdir() if one.is_dir()]  # no checkpoint is left


def test_a_run_that_was_stopped_goes_on_in_the_middle(exam, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    from shoploom.training import loop

    whole = bakery(exam, tmp_path / "whole").bake(plan_of("uncertainty", seeds=1))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    steps = []

    def tell(stage, done, total, losses):
        steps.append(done)
        if done == 3 and len(steps) == 3:
            raise StoppedError

    stopped = Bakery(exam.seen, exam.tasks, exam.cases, CONFIG, tmp_path / "stopped", "data", tell)
    with pytest.raises(StoppedError):
        stopped.bake(plan_of("uncertainty", seeds=1))
    resumed = stopped.bake(plan_of("uncertainty", seeds=1))
    assert steps[3] in (3, 4)
    assert resumed[0].metrics == whole[0].metrics


def test_the_static_sum_has_the_configured_weights_and_others_have_none(exam, tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(
        Bakery, "run", lambda self, scheme, method, **said: given.update({method.name: said["weights"]})
    )
    config = replace(CONFIG, weights={"churn": 2.0})
    Bakery(exam.seen, exam.tasks, exam.cases, config, tmp_path, "data", lambda *told: None).bake(
        plan_of("static", "uncertainty")
    )
    assert given == {"static": {"churn": 2.0}, "uncertainty": {}}


def test_the_search_takes_the_weights_with_the_lowest_validation_loss(exam, tmp_path, monkeypatch):
    loss = {}

    def run(self, scheme, method, *, seed, steps, weights, judge=True):
        value = weights["churn"] if steps == 8 else 1 / weights["churn"]  # the short runs mislead
        loss[(steps, weights["churn"])] = value
        return run_of(seed, 0.0, 0.0, losses={"churn": value})

    monkeypatch.setattr(Bakery, "run", run)
    found = bakery(exam, tmp_path).search(plan_of("tuned", steps=8, trials=12), Choice("ple"))
    long = [weight for steps, weight in loss if steps == 8]
    short = sorted((weight for steps, weight in loss if steps == 2), reverse=True)
    assert len(short) == 12
    assert set(long) == {1.0, *[one for one in short if one != 1.0][:3]}  # equal weights and the best three
    assert found["churn"] == min(long)


def test_weights_to_try_start_even_and_have_a_geometric_mean_of_1():
    found = list(weights_to_try(["a", "b", "c"], 5, seed=0))
    assert found[0] == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert len({one["a"] for one in found}) == 5
    for one in found:
        assert np.log(list(one.values())).sum() == pytest.approx(0.0, abs=1e-9)
    assert list(weights_to_try(["a", "b", "c"], 5, seed=0)) == found


def test_losses_are_those_of_the_kept_round_without_retrieval():
    history = History(valid={"churn": [3.0, 1.0, 2.0], "retrieval": [1.0, 1.0, 1.0]}, best_round=1)
    assert kept_losses(history) == {"churn": 1.0}


def test_a_relative_loss_is_a_mean_of_ratios():
    one, two = (run_of(0, 0.0, 0.0, losses=losses) for losses in ({"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 2.0}))
    assert relative_loss(one, two) == (0.5 + 1.5) / 2


def test_the_table_pairs_seeds_and_knows_which_way_is_better():
    tasks = {"churn": Churn(), "spend": Spend()}
    assert not tasks["churn"].lower_is_better
    assert tasks["spend"].lower_is_better
    runs = [run_of(seed, 0.5 + seed / 10, 0.4, method="static") for seed in range(3)]
    runs += [run_of(seed, (0.5 + seed / 10) * gain, 0.4 * worse, method="famo", seconds=3.0)
             for seed, gain, worse in ((0, 1.1, 1.2), (1, 1.12, 1.2), (2, 1.08, 1.21))]  # fmt: skip
    reference, famo = table(runs, tasks, ("ple", "static"))
    assert reference.gain == (0.0, 0.0)
    assert reference.metrics["churn"][0] == pytest.approx(0.6)
    assert reference.metrics["churn"][1] == pytest.approx(0.1 / math.sqrt(3))
    # churn +10, +12, +8 %, spend -20, -20, -21 %: means of the two -5, -4, -6.5 %
    assert famo.gain[0] == pytest.approx(-31 / 6)
    assert famo.gain[1] == pytest.approx(np.std([-5, -4, -6.5], ddof=1) / math.sqrt(3))
    assert famo.better == ("churn",)
    assert famo.worse == ("spend",)
    assert famo.seconds == 3.0


def test_only_a_clear_gain_is_recommended():
    from shoploom.commands.bakeoff import _winner

    tasks = {"churn": Churn()}
    runs = [run_of(seed, 0.5, 0.0) for seed in range(3)]
    runs += [run_of(seed, one, 0.0, method="lucky") for seed, one in enumerate((0.7, 0.5, 0.5))]
    assert _winner(table(runs, tasks, ("ple", "static")), ("ple", "static")).method == "static"
    runs += [run_of(seed, one, 0.0, method="steady") for seed, one in enumerate((0.52, 0.53, 0.52))]
    assert _winner(table(runs, tasks, ("ple", "static")), ("ple", "static")).method == "steady"


def test_one_seed_has_no_error_and_no_clear_difference():
    (row, other) = table(
        [run_of(0, 0.5, 0.4), run_of(0, 0.6, 0.4, method="dwa")], {"churn": Churn()}, ("ple", "static")
    )
    assert math.isnan(row.metrics["churn"][1])
    assert other.better == ()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: plan_of("statik"), "balancing method 'statik' is unknown.*Did you mean 'static'"),
        (lambda: plan_of("static", sharing="mmo"), "sharing scheme 'mmo' is unknown"),
        (lambda: plan_of("dwa:temperatur=1"), "'temperatur' is unknown"),
        (lambda: plan_of("tuned:trials=3"), "'tuned' takes none"),
        (lambda: plan_of("static", seeds=0), "seeds is 0; wanted 1 or more"),
        (lambda: plan_of(), "name one balancing method"),
        (lambda: Choice.read("ple:levels"), "'levels' in 'ple:levels' is no option; write name=number"),
    ],
)
def test_plans_that_make_no_sense_are_refused(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_the_code_is_part_of_the_key(exam, tmp_path, monkeypatch):
    told = []
    bakery(exam, tmp_path).bake(plan_of("static", seeds=1))
    monkeypatch.setattr(bakeoff, "code_fingerprint", lambda: "other")
    bakery(exam, tmp_path, told).bake(plan_of("static", seeds=1))
    assert told


def test_the_command_prints_a_table_and_json(tmp_path):
    workspace = make_workspace(tmp_path / "shop").path
    chosen = ["--methods", "tuned,static,uncertainty", "--sharing", "shared_bottom,mmoe:num=2"]
    args = ["bakeoff", "size=tiny", "tasks=['churn','spend']", *chosen, "--seeds", "1", "--steps", "3", "--trials", "2"]
    args += ["-w", str(workspace)]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "mmoe:num=2" in done.output
    assert "reference" in done.output
    assert "means over 1 seeds of 3 steps each" in done.output
    found = json.loads(CliRunner().invoke(app, [*args, "--json"]).stdout)
    assert len(found["rows"]) == 6
    assert found["reference"] == {"sharing": "shared_bottom", "method": "tuned"}
    assert found["next"].startswith("shoploom train ")
    assert " sharing=" in found["next"]
    wrong = CliRunner().invoke(app, ["bakeoff", "--methods", "statik", "-w", str(workspace)])
    assert wrong.exit_code == 2
