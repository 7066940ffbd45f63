"""Raw events against hand-made features: the same question answered by models that differ in what they are given.

The question is who will not come back (churn). Linear and tree models and a small network get the engineered features
of ``features.engineered``; the shared network gets the events as they are. Beside quality stand training time, time of
an answer, and how much code says what is looked at; and what each makes of a signal that nobody wrote a feature for.
"""

# Shapes: B cases, R rows of earlier cuts, F features

from __future__ import annotations

import io
import time
import tokenize
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.config import TrainConfig
from shoploom.data import schema
from shoploom.data.arrays import F64, Lines, ShopArrays
from shoploom.ensemble.members.lightgbm_churn import LightgbmChurn
from shoploom.ensemble.members.logistic import Logistic
from shoploom.ensemble.members.outlook import Scaler, outlook, two_classes
from shoploom.ensemble.members.specialist import Specialist
from shoploom.errors import DataError
from shoploom.features.engineered import customer_table
from shoploom.metrics.significance import Difference, Estimate, Samples
from shoploom.tasks.base import Cases, Numbers, Task
from shoploom.tasks.churn import Churn

ENGINEERED: Final = ("features/engineered.py", "data/orders.py", "ensemble/members/outlook.py")
RAW: Final = ("features/visits.py", "features/items.py", "features/text.py", "features/pipeline.py")
ANSWERS_TIMED = 20
SIGNAL_DAYS = 7.0
BUYERS, LEAVERS = 1.5, 0.15
"""Views a week of customers who buy within four weeks, and of those who do not: the planted signal."""
AHEAD_DAYS = 28.0

Progress = Callable[[str, int, int], None]
Answer = Callable[[ShopArrays, Cases], F64]
"""(B,) probabilities of some cases."""


@dataclass(frozen=True)
class Contender:
    """A way from what is known about customers to a probability.

    Args:
        name: For people.
        reads: ``engineered``, ``raw`` or ``both``.
        code: Files that decide what is looked at, below the package.
        fit: Learns from a shop with a seed; returns how it answers.
    """

    name: str
    reads: str
    code: tuple[str, ...]
    fit: Callable[[ShopArrays, Task, int], Answer]


@dataclass(frozen=True)
class Result:
    """What a contender reached.

    Args:
        name, reads: Of the contender.
        auc: Mean over the seeds, with the interval over customers of the first seed.
        by_seed: AUC of each seed.
        difference: First seed minus that of the best contender with engineered features, in pairs; None for that one.
        seconds: To learn, mean.
        ms: Of an answer for one customer, median.
        lines: Of code that says what is looked at, without blanks, comments and docstrings.
        with_signal: AUC where the planted signal is there to be found.
    """

    name: str
    reads: str
    auc: Estimate
    by_seed: list[float]
    difference: Difference | None
    seconds: float
    ms: float
    lines: int
    with_signal: float


def contenders(config: TrainConfig) -> list[Contender]:
    """All of them; the configuration is that of the raw network."""

    def network(shop: ShopArrays, task: Task, seed: int) -> Answer:
        one = Specialist(config)
        one.fit(shop, task, seed=seed)
        return _probability(one.predict)

    def member(kind: type[Logistic] | type[LightgbmChurn]) -> Callable[[ShopArrays, Task, int], Answer]:
        def fit(shop: ShopArrays, task: Task, seed: int) -> Answer:
            one = kind()
            one.fit(shop, task, seed=seed)
            return _probability(one.predict)

        return fit

    def both(shop: ShopArrays, task: Task, seed: int) -> Answer:
        parts = [network(shop, task, seed), member(LightgbmChurn)(shop, task, seed), member(Logistic)(shop, task, seed)]
        return lambda then, cases: sum((_logit(one(then, cases)) for one in parts), np.zeros(len(cases)))

    return [
        Contender("logistic regression", "engineered", ENGINEERED, member(Logistic)),
        Contender("random forest", "engineered", ENGINEERED, _forest),
        Contender("LightGBM", "engineered", ENGINEERED, member(LightgbmChurn)),
        Contender("network on features", "engineered", ENGINEERED, _perceptron),
        Contender("network on raw events", "raw", RAW, network),
        Contender("all together", "both", tuple(dict.fromkeys(ENGINEERED + RAW)), both),
    ]


def compare(
    shop: ShopArrays, config: TrainConfig, *, seeds: Sequence[int] = (0, 1, 2), progress: Progress | None = None
) -> list[Result]:
    """Every contender on the last horizon, and again on a shop with a planted signal.

    Args:
        shop: Everything that is known; its last horizon is held back.
        config: Of the raw network.
        seeds: Of the trainings.
        progress: Told the contender, how many trainings are done and of how many.

    Raises:
        DataError: If the shop cannot tell who leaves.
    """
    task, tell = Churn(), progress or _silent
    cut = shop.end - shop.clock.horizon_days
    past, future = shop.before(cut), shop.between(cut, shop.end)
    cases = task.cases(past, future)
    truth = None if cases.truth is None else cases.truth.numbers
    if task.missing(past) or truth is None or len(np.unique(truth)) < 2 or not two_classes(outlook(past).away):
        why = task.missing(past) or (
            "nobody does, or everybody; a longer history or another clock.horizon_days may tell them apart"
        )
        raise DataError(f"this shop cannot tell who leaves: {why}")
    signalled = with_signal(shop, seed=seeds[0]).before(cut)
    chosen, found, samples = contenders(config), [], {}
    for place, one in enumerate(chosen):
        values, seconds, answers = [], [], []
        for number, seed in enumerate(seeds):
            tell(one.name, place * (len(seeds) + 1) + number, len(chosen) * (len(seeds) + 1))
            start = time.perf_counter()
            answers.append(one.fit(past, task, seed))
            seconds.append(time.perf_counter() - start)
            measured = task.measure(cases, Numbers({"probability": answers[-1](past, cases.blind())}))
            values.append(measured.values()["auc"])
            if not number:
                samples[one.name] = Samples.of(measured)
        tell(one.name, place * (len(seeds) + 1) + len(seeds), len(chosen) * (len(seeds) + 1))
        again = one.fit(signalled, task, seeds[0])
        then = task.measure(cases, Numbers({"probability": again(signalled, cases.blind())})).values()["auc"]
        interval = samples[one.name].estimates()["auc"]
        auc = Estimate(float(np.mean(values)), interval.low, interval.high)
        ms, lines = _milliseconds(answers[0], past, cases), sum(code_lines(path) for path in one.code)
        found.append(Result(one.name, one.reads, auc, values, None, float(np.mean(seconds)), ms, lines, then))
    best = max((one for one in found if one.reads == "engineered"), key=lambda one: one.auc.value)
    return [
        one if one is best else replace(one, difference=samples[one.name].minus(samples[best.name])["auc"])
        for one in found
    ]


def with_signal(shop: ShopArrays, *, seed: int = 0) -> ShopArrays:
    """The shop with product views that nobody has written a feature for.

    Each week each known customer looks at products: often if a purchase follows within ``AHEAD_DAYS``, seldom if not.
    The views are made up, and know the future on purpose: they are a signal of known strength.
    """
    draws = np.random.default_rng([seed, 5])
    bought = shop.lines.purchase & (shop.lines.customer >= 0)
    customers, weeks = len(shop.customers), np.arange(shop.start, shop.end, SIGNAL_DAYS)
    days = np.sort(shop.lines.time[bought])
    keys = np.sort(shop.lines.customer[bought] * 1e6 + shop.lines.time[bought] - days[0])
    made = []
    for week in weeks:
        base = np.arange(customers) * 1e6 + week - days[0]
        follows = np.searchsorted(keys, base + SIGNAL_DAYS + AHEAD_DAYS) > np.searchsorted(keys, base + SIGNAL_DAYS)
        count = draws.poisson(np.where(follows, BUYERS, LEAVERS))
        row = np.repeat(np.arange(customers), count)
        made.append(np.column_stack([row, week + SIGNAL_DAYS * draws.random(len(row))]))
    rows = np.concatenate(made)
    number, kind = len(rows), schema.EVENT_TYPES.index("view")
    zero, none = np.zeros(number, dtype=np.float32), np.zeros(number, dtype=bool)
    views = Lines(
        customer=rows[:, 0].astype(np.int32),
        item=draws.integers(len(shop.items), size=number).astype(np.int32),
        order=np.full(number, -1, dtype=np.int32),
        kind=np.full(number, kind, dtype=np.int8),
        time=rows[:, 1],
        quantity=zero,
        amount=zero,
        price=np.full(number, np.nan, dtype=np.float32),
        purchase=none,
        goods=none,
        priced=none,
    )
    lines = Lines.join([shop.lines, views.take(rows[:, 1] < shop.end)])
    place = np.lexsort((lines.time, np.where(lines.customer < 0, customers, lines.customer)))
    return replace(shop, lines=lines.take(place)).before(shop.end)


def code_lines(path: str) -> int:
    """Lines of a file of the package that hold code: no blanks, comments or docstrings."""
    text = (Path(__file__).parents[1] / path).read_text(encoding="utf-8")
    held: set[int] = set()
    fresh = True  # at the start of a statement, where a string is a docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT):
            fresh = fresh or token.type == tokenize.NEWLINE
        elif not (token.type == tokenize.STRING and fresh) and token.type != tokenize.ENDMARKER:
            held |= set(range(token.start[0], token.end[0] + 1))
            fresh = False
    return len(held)


def _forest(shop: ShopArrays, task: Task, seed: int) -> Answer:
    from sklearn.ensemble import RandomForestClassifier

    del task
    rows = outlook(shop)
    model = RandomForestClassifier(300, min_samples_leaf=20, max_features=0.3, n_jobs=1, random_state=seed)
    model.fit(rows.features, rows.away)
    return lambda then, cases: model.predict_proba(customer_table(then, cases.units).logs())[:, 1]


def _perceptron(shop: ShopArrays, task: Task, seed: int) -> Answer:
    from sklearn.neural_network import MLPClassifier

    del task
    rows = outlook(shop)
    scaler = Scaler.fit(rows.features)
    model = MLPClassifier((64, 32), alpha=1.0, early_stopping=True, n_iter_no_change=10, random_state=seed)
    model.fit(scaler(rows.features), rows.away)
    return lambda then, cases: model.predict_proba(scaler(customer_table(then, cases.units).logs()))[:, 1]


def _probability(predict: Callable[[ShopArrays, Cases], Any]) -> Answer:
    def answer(shop: ShopArrays, cases: Cases) -> F64:
        found: Mapping[str, NDArray[np.float64]] = predict(shop, cases).columns
        return found["probability"]

    return answer


def _logit(probability: F64) -> F64:
    safe = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(safe / (1 - safe)))


def _milliseconds(answer: Answer, shop: ShopArrays, cases: Cases) -> float:
    spent = []
    for row in np.linspace(0, len(cases) - 1, min(len(cases), ANSWERS_TIMED + 1)).astype(np.int64):
        start = time.perf_counter()
        answer(shop, cases.blind().take(np.array([row])))
        spent.append(1e3 * (time.perf_counter() - start))
    return float(np.median(spent[1:] or spent))


def _silent(name: str, done: int, total: int) -> None:
    """Nobody listens."""
