"""The search for settings, on a training whose best settings are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shoploom.config import TrainConfig
from shoploom.errors import NotReadyError, UsageError
from shoploom.evaluation.tune_page import write_tune_report
from shoploom.training.loop import DivergedError
from shoploom.training.tune import Curves, Tuning, open_study, search

AfterRound = Callable[[int, Mapping[str, float]], None]
SETTINGS = ("learning_rate", "dropout")


class Bowl:
    """A training with two tasks whose losses are least at a learning rate of 0.006; dropout hardly matters."""

    def __init__(self, *, rounds: int = 4, diverges_above: float = 1.0) -> None:
        self.configs: list[TrainConfig] = []
        self.rounds = rounds
        self.diverges_above = diverges_above

    def __call__(self, config: TrainConfig, after_round: AfterRound) -> Curves:
        self.configs.append(config)
        if config.learning_rate > self.diverges_above:
            raise DivergedError("the loss of task 'churn' became inf")
        height = 1 + math.log(config.learning_rate / 0.006) ** 2 + 0.01 * config.dropout
        curves: dict[str, list[float]] = {"churn": [], "spend": []}
        for number in range(self.rounds):
            for factor, losses in zip((1.0, 50.0), curves.values(), strict=True):
                losses.append(factor * height * (1 + 1 / (1 + number)))
            after_round(number, {name: one[-1] for name, one in curves.items()})
        return curves


def run(train: Bowl, path: Path, trials: int, timeout: float | None = None) -> Tuning:
    start = TrainConfig(learning_rate=0.002, dropout=0.1)
    storage = path / "tune.db"
    return search(train, start, storage=storage, name="one", trials=trials, timeout=timeout, settings=SETTINGS)


def test_the_first_trial_is_the_configuration_and_scores_1(tmp_path: Path) -> None:
    train = Bowl()
    found = run(train, tmp_path, 1)
    assert train.configs == [TrainConfig(learning_rate=0.002, dropout=0.1)]
    assert found.score == 1.0
    assert found.importance == {}


def test_the_search_finds_the_bottom_says_what_matters_and_gives_up_early(tmp_path: Path) -> None:
    found = run(Bowl(), tmp_path, 25)
    assert found.best["learning_rate"] == pytest.approx(0.006, rel=0.5)
    known = (1 + 0.01 * found.best["dropout"] + math.log(found.best["learning_rate"] / 0.006) ** 2) / (
        1 + math.log(0.002 / 0.006) ** 2 + 0.001
    )
    assert found.score == pytest.approx(known)
    assert found.importance["learning_rate"] > 0.8
    assert sum(found.importance.values()) == pytest.approx(1)
    pruned = [one for one in found.trials if one.state == "pruned"]
    assert pruned
    assert all(len(one.rounds) < 4 and math.isnan(one.score) for one in pruned)


def test_a_search_that_is_called_again_goes_on(tmp_path: Path) -> None:
    first, second = Bowl(), Bowl()
    run(first, tmp_path, 3)
    found = run(second, tmp_path, 5)
    assert (len(first.configs), len(second.configs)) == (3, 2)
    assert [one.number for one in found.trials] == [0, 1, 2, 3, 4]
    assert len({one.learning_rate for one in first.configs + second.configs}) == 5
    run(third := Bowl(), tmp_path, 5)
    assert third.configs == []


def test_a_trial_that_was_killed_is_tried_again(tmp_path: Path) -> None:
    class Killed(Bowl):
        def __call__(self, config: TrainConfig, after_round: AfterRound) -> Curves:
            if len(self.configs) == 1:
                self.configs.append(config)
                raise KeyboardInterrupt
            return super().__call__(config, after_round)

    train = Killed()
    with pytest.raises(KeyboardInterrupt):
        run(train, tmp_path, 3)
    found = run(again := Bowl(), tmp_path, 3)
    assert again.configs[0] == train.configs[1]
    assert len(found.trials) == 3
    assert all(one.state != "failed" for one in found.trials)


def test_trials_that_diverge_count_and_do_not_stop_the_search(tmp_path: Path) -> None:
    found = run(Bowl(diverges_above=0.008), tmp_path, 12)
    states = [one.state for one in found.trials]
    assert "failed" in states
    assert len(states) == 12
    with pytest.raises(NotReadyError, match="none of 2 trials was completed"):
        run(Bowl(diverges_above=1e-5), tmp_path / "other", 2)


def test_no_further_trial_begins_after_the_timeout(tmp_path: Path) -> None:
    train = Bowl()
    run(train, tmp_path, 1)
    run(train, tmp_path, 1000, timeout=0.5)
    assert 1 < len(train.configs) < 200


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'dropout'"):
        search(Bowl(), TrainConfig(), storage=tmp_path / "a.db", name="x", trials=1, settings=("dropuot",))
    with pytest.raises(UsageError, match=r"train\.weight_decay is 0\.0, and 0\.0001 to 0\.3 is searched"):
        search(Bowl(), TrainConfig(weight_decay=0.0), storage=tmp_path / "a.db", name="x", trials=1)
    with pytest.raises(UsageError, match="trials=0"):
        search(Bowl(), TrainConfig(), storage=tmp_path / "a.db", name="x", trials=0)


def test_the_batch_size_that_is_left_to_the_size_is_what_is_tried_first(tmp_path: Path) -> None:
    train = Bowl()
    search(train, TrainConfig(), storage=tmp_path / "a.db", name="x", trials=1, settings=("batch_size",))
    assert train.configs[0].batch_size == 32


def test_the_report_shows_importance_and_trials_without_a_script(tmp_path: Path) -> None:
    found = run(Bowl(), tmp_path, 12)
    page, data = write_tune_report({**found.to_dict(), "shop": "Corner <shop>"}, tmp_path / "reports")
    text = page.read_text()
    assert "Corner &lt;shop&gt;" in text
    assert text.count("<tr>") == 13
    assert 'aria-label="importance of each setting"' in text
    assert "<script" not in text
    assert '"score": null' in data.read_text() or '"pruned"' not in data.read_text()
    assert open_study(tmp_path / "tune.db", "one").user_attrs["reference"].keys() == {"churn", "spend"}
