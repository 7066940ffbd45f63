from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from shoploom.errors import WorkspaceError
from shoploom.evaluation.certificate import (
    Certificate,
    Cost,
    Pair,
    compared,
    latest_certificate,
    spread,
    write_certificate,
)
from shoploom.metrics.significance import holm
from shoploom.metrics.statistics import means

UNITS = 400


@dataclass(frozen=True)
class Scored:
    """A metric that is the mean of a score per customer."""

    scores: np.ndarray

    @property
    def units(self):
        return len(self.scores)

    @property
    def statistic(self):
        return means({"hit": self.scores})


def pair(name="churn", *, shift=0.0, seeds=5, noise=0.02, lower=False, slices=None, seed=0):
    draws = np.random.default_rng(seed)
    usual = draws.random(UNITS) + 0.5
    twin = [Scored(usual + noise * draws.normal(size=UNITS)) for _ in range(seeds)]
    joint = [Scored(usual + shift + noise * draws.normal(size=UNITS)) for _ in range(seeds)]
    return Pair(name, "hit", lower, joint, twin, slices or {})


def verdicts(*pairs, **options):
    return {one.task: one.verdict for one in compared(pairs, **options) if not one.slice}


def test_what_is_planted_is_found():
    found = verdicts(pair("a", shift=0.02), pair("b", shift=-0.02), pair("c"), pair("d", noise=2.0))
    assert found == {"a": "better", "b": "worse", "c": "no worse", "d": "open"}


def test_less_is_better_where_the_metric_says_so():
    assert verdicts(pair("a", shift=0.02, lower=True), pair("b", shift=-0.02, lower=True)) == {
        "a": "worse",
        "b": "better",
    }


def test_a_loss_within_the_margin_is_no_worse_but_only_with_the_margin():
    one = pair("a", shift=-0.003)  # of a mean of 1: 0.3 %
    assert verdicts(one, margin=0.005) == {"a": "no worse"}
    assert verdicts(one, margin=0.0) == {"a": "worse"}


def test_p_values_are_corrected_over_all_lines_kinds_included():
    kinds = {"new": np.arange(UNITS) < 100, "loyal": np.arange(UNITS) >= 100, "none": np.zeros(UNITS, dtype=bool)}
    lines = compared([pair("a", shift=0.004, slices=kinds), pair("b", seed=3)])
    assert [(one.task, one.slice) for one in lines] == [("a", ""), ("a", "new"), ("a", "loyal"), ("b", "")]
    alone = [compared([pair("a", shift=0.004, slices=kinds)])[0], compared([pair("b", seed=3)])[0]]
    assert lines[0].p_better >= alone[0].p_better
    assert lines[0].units == UNITS
    assert lines[1].units == 100


def test_a_kind_has_the_metric_of_its_customers_alone():
    mask = np.arange(UNITS) < 100
    one = pair("a", slices={"new": mask})
    line = compared([one])[1]
    assert line.joint == pytest.approx(np.mean([scored.scores[mask].mean() for scored in one.joint]))


def test_the_error_counts_both_customers_and_seeds():
    one = pair("a", shift=0.01, noise=0.1)
    line = compared([one], rounds=3000)[0]
    gains = np.array(
        [mine.scores.mean() - other.scores.mean() for mine, other in zip(one.joint, one.twin, strict=True)]
    )
    by_unit = np.mean([mine.scores - other.scores for mine, other in zip(one.joint, one.twin, strict=True)], axis=0)
    error = np.sqrt(by_unit.var(ddof=1) / UNITS + gains.var(ddof=1) / 5)
    freedom = error**4 / ((gains.var(ddof=1) / 5) ** 2 / 4)
    assert line.gain == pytest.approx(gains.mean())
    assert line.high - line.low == pytest.approx(2 * stats.t.ppf(0.975, freedom) * error, rel=0.05)


def test_a_certificate_without_harm_is_rarely_wrong():
    """Twins that are drawn like the joint model: 5 % false alarms at most are promised, over all lines together."""
    alarms = [
        any(
            one.verdict in ("worse", "better")
            for one in compared([pair("a", seed=n), pair("b", seed=1000 + n)], rounds=60)
        )
        for n in range(80)
    ]
    assert np.mean(alarms) <= 0.11  # 5 % and two standard errors of 80 draws


def test_one_seed_says_nothing_about_chance_in_training():
    gain, error, freedom = spread(np.array([0.2]), np.array([0.1, 0.3]))
    assert (gain, freedom) == (0.2, 1e6)
    assert error == pytest.approx(np.sqrt(0.02))


def certificate(**options):
    lines = compared([pair("a", shift=0.02), pair("b", shift=-0.02)])
    cost = {"joint": Cost(10.0, 8.0, 100), "a": Cost(9.0, 8.0, 90), "b": Cost(9.0, 8.0, 110)}
    return Certificate(lines, [0, 1], cost, **options)


def test_it_comes_back_from_its_file_and_the_newest_counts(tmp_path):
    assert latest_certificate(tmp_path) is None
    first = certificate(affinity={"a": {"b": 0.1}}, groups=[["a", "b"]], routes={"b": ["b"]})
    path = write_certificate(first, tmp_path)
    assert json.loads(path.read_text())["harmed"] == ["b"]
    second = replace(first, seeds=[0, 1, 2], created_at="2031-01-01T00:00:00+00:00")
    write_certificate(second, tmp_path)
    assert latest_certificate(tmp_path) == second
    assert len(list(tmp_path.glob("certificate-*.json"))) == 2


def test_shares_are_of_the_sums_of_the_twins():
    assert certificate().shares == {"parameters": 0.5, "cpu_seconds": 0.5}


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "latest.json").write_text("{}")
    with pytest.raises(WorkspaceError, match=r"latest\.json is no certificate"):
        latest_certificate(tmp_path)


def test_the_p_values_are_holms_of_one_sided_t_tests():
    lines = compared([pair("a", shift=0.004), pair("b", shift=0.002, seed=4)], rounds=200)
    single = [
        compared([pair("a", shift=0.004)], rounds=200)[0],
        compared([pair("b", shift=0.002, seed=4)], rounds=200)[0],
    ]
    assert [one.p_better for one in lines] == pytest.approx(holm([one.p_better for one in single]))
