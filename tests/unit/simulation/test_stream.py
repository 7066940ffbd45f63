"""The stream agrees with its truth, whatever the size of the chunks."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from shoploom.errors import UsageError
from shoploom.simulation import Chunk, Drift, Settings, Simulation, World, simulate
from shoploom.simulation.stream import BLOCK
from shoploom.simulation.truth import Lookings

WORLD = World.synthetic(customers=120, products=240, categories=8)
COLUMNS = [one.name for one in dataclasses.fields(Chunk) if one.name != "requests"]


def whole(**settings: object) -> tuple[Simulation, Chunk]:
    simulation = Simulation(WORLD, Settings(**settings))  # type: ignore[arg-type]
    return simulation, Chunk.join(list(simulation.chunks()))


@pytest.fixture(scope="module")
def usual() -> Chunk:
    return whole(events=300_000)[1]


def equal(one: Chunk, other: Chunk) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in COLUMNS)


def agrees(happened: np.ndarray, probability: np.ndarray) -> bool:
    """The number is within four standard deviations of what the probabilities promise."""
    spread = np.sqrt((probability * (1 - probability)).sum())
    return bool(spread > 1 and abs(happened.sum() - probability.sum()) < 4 * spread)


def test_the_same_seed_gives_the_same_stream_and_another_one_another() -> None:
    first, again, other = (whole(events=20_000, seed=seed)[1] for seed in (3, 3, 4))
    assert equal(first, again)
    assert not equal(first, other)


def test_another_seed_sees_the_same_truth() -> None:
    one, other = (Simulation(WORLD, Settings(seed=seed, drift=(Drift(9, "taste", 0.5),))) for seed in (0, 1))
    assert one.truth.intercepts == other.truth.intercepts
    assert np.array_equal(one.truth.taste, other.truth.taste)
    assert one.sessions == other.sessions


def test_the_size_of_chunks_changes_nothing() -> None:
    simulation = Simulation(WORLD, Settings(events=80_000))
    small, large = (list(simulation.chunks(size)) for size in (1, 10**9))
    assert len(small) == simulation.blocks > 3
    assert len(large) == 1
    assert equal(Chunk.join(small), large[0])
    assert np.array_equal(Chunk.join(small).requests.query, large[0].requests.query)


def test_any_block_can_be_made_alone() -> None:
    simulation = Simulation(WORLD, Settings(events=80_000))
    blocks = list(simulation.chunks(1))
    assert equal(simulation.block(2), blocks[2])
    assert equal(next(simulation.chunks(1, first_block=1)), blocks[1])
    assert blocks[1].session.min() == BLOCK
    with pytest.raises(IndexError, match=f"block {simulation.blocks} of {simulation.blocks}"):
        simulation.block(simulation.blocks)


@pytest.mark.parametrize("model", ["position", "cascade"])
def test_labels_happen_with_their_true_probabilities(model: str, usual: Chunk) -> None:
    seen = usual if model == "position" else whole(events=150_000, click_model="cascade")[1]
    assert agrees(seen.examined, seen.p_examine)
    assert agrees(seen.click, seen.p_click)
    assert agrees(seen.click[seen.examined], seen.p_relevant[seen.examined])
    assert agrees(seen.cart[seen.click], seen.p_cart[seen.click])
    assert agrees(seen.purchase[seen.cart], seen.p_purchase[seen.cart])
    assert agrees(seen.purchase, seen.p_click_conversion)
    assert agrees(seen.refund[seen.purchase], seen.p_refund[seen.purchase])
    for place in (1, 2, 5, 10):
        here = seen.position == place
        assert agrees(seen.click[here], seen.p_click[here])
    for likely in (seen.p_relevant < 0.05, seen.p_relevant > 0.3):
        assert agrees(seen.click[likely], seen.p_click[likely])


def test_examination_falls_with_the_power_of_the_position(usual: Chunk) -> None:
    assert usual.p_examine == pytest.approx(usual.position**-0.7)


def test_mean_rates_are_those_of_the_settings() -> None:
    _, seen = whole(events=300_000, click_rate=0.2, cart_rate=0.3, purchase_rate=0.45, refund_rate=0.1)
    assert seen.p_relevant.mean() == pytest.approx(0.2, rel=0.05)
    assert np.average(seen.p_cart, weights=seen.p_relevant) == pytest.approx(0.3, rel=0.05)
    assert np.average(seen.p_purchase, weights=seen.p_relevant * seen.p_cart) == pytest.approx(0.45, rel=0.05)
    bought = seen.p_relevant * seen.p_conversion
    assert np.average(seen.p_refund, weights=bought) == pytest.approx(0.1, rel=0.05)


def test_probabilities_are_a_funnel(usual: Chunk) -> None:
    for name in ("p_examine", "p_relevant", "p_cart", "p_purchase", "p_refund", "propensity"):
        assert (getattr(usual, name) > 0).all()
        assert (getattr(usual, name) <= 1).all()
    assert usual.p_click_conversion == pytest.approx(usual.p_click * usual.p_conversion)
    assert (usual.click >= usual.cart).all()
    assert (usual.cart >= usual.purchase).all()
    assert (usual.purchase >= usual.refund).all()


def test_times_come_in_the_order_of_the_steps(usual: Chunk) -> None:
    cart, bought, back = usual.cart, usual.purchase, usual.refund
    assert (usual.click_time[usual.click] > usual.time[usual.click]).all()
    assert (usual.cart_time[cart] > usual.click_time[cart]).all()
    assert (usual.purchase_time[bought] > usual.cart_time[bought]).all()
    assert (usual.refund_time[back] > usual.purchase_time[back]).all()
    assert np.isnan(usual.purchase_time[~bought]).all()
    assert (usual.quantity[bought] >= 1).all()
    assert not usual.quantity[~bought].any()


def test_delays_are_a_cut_exponential() -> None:
    _, seen = whole(events=400_000, delayed_share=0.5, delay_days=2.0, most_delay_days=5.0)
    late = seen.delayed[seen.purchase]
    assert agrees(late, np.full(len(late), 0.5))
    delay = (seen.purchase_time - seen.cart_time)[seen.delayed] - 1 / 1440
    share = np.exp(-5 / 2)
    mean = 2 - 5 * share / (1 - share)  # of an exponential with mean 2, given that it is below 5
    assert delay.max() < 5
    assert delay.mean() == pytest.approx(mean, abs=4 * delay.std() / np.sqrt(len(delay)))


def test_inverse_propensities_undo_the_policy(usual: Chunk) -> None:
    """Weighted by 1 / propensity, every product of a shelf stands equally often at every place."""
    shelf = int(np.bincount(usual.shelf).argmax())
    here = (usual.shelf == shelf) & (usual.position == 3)
    pages = int(here.sum())
    size = int(WORLD.shelves.sizes[shelf])
    for item in WORLD.shelves.members[shelf, [0, 2, 7, size - 1]]:
        weight = (usual.item == item)[here] / usual.propensity[here]
        assert weight.mean() == pytest.approx(1, abs=4 * weight.std() / np.sqrt(pages) + 1e-9)


def test_a_log_log_regression_recovers_the_elasticity() -> None:
    _, seen = whole(
        events=1_200_000, elasticity=-2.0, elasticity_spread=0.0, price_weights=(0.2,) * 5, purchase_rate=0.5,
        cart_rate=0.4, click_rate=0.3,
    )  # fmt: skip
    ratio = np.round(seen.price / seen.regular_price, 1)
    levels, of = np.unique(ratio, return_inverse=True)
    sold, shown = np.bincount(of, seen.purchase), np.bincount(of)
    slope = np.polyfit(np.log(levels), np.log(sold / shown), 1, w=np.sqrt(sold))[0]
    assert slope == pytest.approx(-2.0, abs=0.25)


def test_the_price_bends_each_step_by_a_third_of_the_elasticity() -> None:
    simulation = Simulation(WORLD, Settings(elasticity=-1.5, elasticity_spread=0.0))
    row = np.zeros(2, dtype=np.int32)
    ratio = np.array([1.0, 0.8])
    seen = Lookings(row.astype(np.int64), row, row, row, row, row.astype(np.float32), ratio, ratio)
    found = simulation.truth.chances(seen)
    for step in (found.relevant, found.cart, found.purchase):
        assert step[1] / step[0] == pytest.approx(0.8**-0.5)
    assert found.refund[0] == found.refund[1]


def test_drift_happens_when_and_how_it_was_planted() -> None:
    drift = (Drift(40, "taste", 0.5), Drift(60, "clicks", 0.5))
    simulation, seen = whole(events=200_000, drift=drift)
    _, calm = whole(events=200_000)
    assert set(seen.regime) == {0, 1, 2}
    begin = np.array([seen.time[seen.session == one].min() for one in np.unique(seen.session)]) - simulation.start
    regime = np.array([seen.regime[seen.session == one][0] for one in np.unique(seen.session)])
    # within the minute at most that the first page is the session's begin
    assert (regime == (begin >= 40).astype(int) + (begin >= 60)).all()
    count = min(len(seen), len(calm))
    same = slice(0, int((seen.regime == 0).sum()))
    assert np.array_equal(seen.p_relevant[same], calm.p_relevant[same])
    moved = (simulation.truth.taste[1] != np.arange(len(WORLD.customers))).mean()
    assert moved == 0.5
    between = seen.regime == 1
    changed = np.array([seen.p_relevant[i] != calm.p_relevant[i] for i in np.flatnonzero(between[:count])[:4000]])
    expected = (simulation.truth.taste[1][seen.customer] != seen.customer)[between][: len(changed)]
    assert np.array_equal(changed, expected)
    last = (seen.regime == 2)[:count] & (simulation.truth.taste[2][seen.customer] == seen.customer)[:count]
    assert seen.p_relevant[:count][last] == pytest.approx(calm.p_relevant[:count][last] / 2)
    assert agrees(seen.click[seen.regime == 2], seen.p_click[seen.regime == 2])


@pytest.mark.parametrize("kind", ["appeal", "price", "purchases"])
def test_every_kind_of_drift_changes_its_own_step(kind: str) -> None:
    _, seen = whole(events=60_000, drift=(Drift(45, kind, 0.6),))
    _, calm = whole(events=60_000)
    late = seen.regime == 1
    changed = {name: (getattr(seen, name) != getattr(calm, name))[late].any() for name in ("p_relevant", "p_purchase")}
    assert changed == {"p_relevant": kind != "purchases", "p_purchase": kind != "appeal"}


def test_the_number_of_events_is_about_what_was_asked_for() -> None:
    for wanted in (1_000, 50_000):
        _, seen = whole(events=wanted)
        found = len(seen) + (seen.requests.query >= 0).sum()
        found += sum(getattr(seen, name).sum() for name in ("click", "cart", "purchase", "refund"))
        # a session has 34 events on average, with a standard deviation of at most as much
        assert abs(found - wanted) < 4 * 34 * np.sqrt(wanted / 34)


def test_a_billion_events_can_be_entered_anywhere() -> None:
    simulation = Simulation(WORLD, Settings(events=1e9, days=30))
    last = simulation.block(simulation.blocks - 1)
    assert last.session[-1] == simulation.sessions - 1 > 2e7
    assert last.session[0] % BLOCK == 0
    # so many sessions in 30 days lie close together, and the last block is the last moment of them
    begin = last.requests.time[last.requests.number % 16 == 0]
    assert simulation.start + 30 - begin.min() < 1e-3
    assert last.request.max() * 64 < 2**63


def test_sessions_lie_in_the_asked_days() -> None:
    start = datetime(2023, 5, 1)
    simulation, seen = whole(events=20_000, days=3, start=start)
    first = np.array([seen.requests.time[seen.requests.session == one].min() for one in np.unique(seen.session)])
    assert simulation.start == 19478  # days from 1970-01-01 to 2023-05-01
    assert ((first >= 19478) & (first < 19481)).all()
    assert (np.diff(first) > 0).all()


def test_a_tiny_world_has_short_pages() -> None:
    world = World.synthetic(customers=1, products=3, categories=1)
    seen = Chunk.join(list(simulate(world, Settings(events=1_000))))
    assert set(seen.position) == {1, 2, 3}
    assert agrees(seen.click, seen.p_click)


def test_positions_follow_popularity_and_taste_but_not_the_price(usual: Chunk) -> None:
    low = usual.price < 0.85 * usual.regular_price
    assert abs(usual.position[low].mean() - usual.position[~low].mean()) < 0.1
    assert np.corrcoef(WORLD.appeal[usual.item], usual.position)[0, 1] < -0.1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"events": 5}, "events is 5; wanted 100 to 1e\\+09"),
        ({"events": float("nan")}, "events is nan"),
        ({"days": 0}, "days is 0; wanted 1 to 3660"),
        ({"seed": -1}, "seed is -1"),
        ({"policy": "mixtur"}, "Did you mean 'mixture'"),
        ({"click_model": "cascad"}, "Did you mean 'cascade'"),
        ({"policy_weights": (0.5, 0.5, 0.5)}, "policy_weights are .* with the sum 1"),
        ({"price_levels": (0.5, 1.0)}, "need one weight each"),
        ({"price_levels": (0.1, 1.0), "price_weights": (0.5, 0.5)}, "choose a higher lowest price level"),
        ({"go_on": (0.9, 1.2)}, "wanted two probabilities"),
        ({"drift": (Drift(90, "taste", 0.5),)}, "drift on day 90 of a simulation of 90 days"),
        ({"drift": (Drift(10, "clicks", 3),)}, "probabilities of clicks would reach"),
    ],
)
def test_wrong_settings_say_what_is_wanted(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Settings(**settings)  # type: ignore[arg-type]


def test_every_setting_stands_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulation.md").read_text(encoding="utf-8")
    table = page.partition("## Settings")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \|", table, flags=re.M)))) == {
        one.name for one in dataclasses.fields(Settings)
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("taste", "write KIND@DAY=STRENGTH"),
        ("taste@x=1", "write KIND@DAY=STRENGTH"),
        ("tast@3=0.5", "Did you mean 'taste'"),
        ("taste@-1=0.5", "wanted 0 or more days"),
        ("taste@3=1.5", "wanted above 0 up to 1, of customers"),
        ("price@3=0", "on the price elasticity"),
    ],
)
def test_wrong_drifts_say_what_is_wanted(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Drift.parse(text)
