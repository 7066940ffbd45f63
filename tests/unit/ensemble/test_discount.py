"""What popularity earns is taken off until the lists are as wide as the widest member's."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.ensemble.fusions.pool import Pool, top
from shoploom.ensemble.next_item.discount import TOLERANCE, PopularityDiscount
from shoploom.tasks.base import Ranked

PAIRS = 40


def lists_of(rows: list[list[int]], scores: list[list[float]]) -> Ranked:
    return Ranked(np.array(rows, dtype=np.int32), np.array(scores))


def case(*, every: int) -> tuple[Pool, np.ndarray, np.ndarray, Ranked, np.ndarray]:
    """Twenty best sellers that all cases list, then one rare item each; every n-th answer is a rare one."""
    rows = [[*range(20), 20 + number] for number in range(PAIRS)]
    narrow = lists_of(rows, [[*np.linspace(3.0, 1.0, 20), 0.9]] * PAIRS)
    pool = Pool.of({"narrow": narrow})
    score = np.where(pool.item < 20, 3.0 - pool.item / 9.5, 0.9)
    answer = np.array([20 + number if number % every == 0 else 0 for number in range(PAIRS)])
    wide = lists_of([[20 + number] for number in range(PAIRS)], [[1.0]] * PAIRS)
    counts = np.concatenate([np.full(20, 100.0), np.ones(PAIRS)])
    return pool, score, answer[pool.row] == pool.item, wide, counts


def shown(lists: Ranked) -> int:
    return len(np.unique(lists.items[lists.items >= 0]))


def test_the_first_seven_stay_and_later_ones_lose_strength_times_the_logarithm():
    pool = Pool.of({"one": lists_of([list(range(9))], [[9.0, 8, 7, 6, 5, 4, 3, 2, 1]])})
    counts = np.full(9, 7.0)
    counts[8] = 0.0
    discount = PopularityDiscount(np.log1p(counts).astype(np.float32), 0.5)
    # log 8 = 2.0794; half of it, 1.0397, is taken from the eighth; the ninth has no events and loses nothing
    expected = [9.0, 8, 7, 6, 5, 4, 3, 2 - 1.0397, 1]
    np.testing.assert_allclose(discount(pool, np.arange(9.0, 0, -1)), expected, atol=1e-4)
    assert top(pool, discount(pool, np.arange(9.0, 0, -1)), 9).items[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 7]


def test_lists_become_as_wide_as_those_of_the_widest_member_and_no_wider_than_needed():
    pool, score, relevant, wide, counts = case(every=1)
    discount = PopularityDiscount()
    discount.fit(pool, score, relevant, [wide], counts)
    assert shown(top(pool, score, 10)) == 10
    assert shown(top(pool, discount(pool, score), 10)) >= PAIRS
    np.testing.assert_array_equal(top(pool, discount(pool, score), 7).items, top(pool, score, 7).items)
    weaker = PopularityDiscount(discount.popularity, discount.strength * 0.8)
    assert shown(top(pool, weaker(pool, score), 10)) < PAIRS


def test_coverage_is_not_bought_with_right_answers():
    pool, score, relevant, wide, counts = case(every=PAIRS)
    discount = PopularityDiscount()
    discount.fit(pool, score, relevant, [wide], counts)

    def first(values: np.ndarray) -> float:
        return float((top(pool, values, 1).items[1:, 0] == 0).mean())

    assert first(discount(pool, score)) >= first(score) - TOLERANCE


@pytest.mark.parametrize("reason", ["wide enough", "no answer is known"])
def test_nothing_changes_without_a_reason(reason):
    pool, score, relevant, wide, counts = case(every=1)
    if reason == "wide enough":
        wide = top(pool, score, 10)
    else:
        relevant = np.zeros(len(pool), dtype=bool)
    discount = PopularityDiscount()
    discount.fit(pool, score, relevant, [wide], counts)
    assert discount.strength == 0
    assert discount(pool, score) is score


def test_an_answer_does_not_depend_on_the_other_cases():
    pool, score, relevant, wide, counts = case(every=1)
    discount = PopularityDiscount()
    discount.fit(pool, score, relevant, [wide], counts)
    together = top(pool, discount(pool, score), 10).items[7]
    alone = pool.take(np.array([7]))
    np.testing.assert_array_equal(top(alone, discount(alone, score[pool.row == 7]), 10).items[0], together)
