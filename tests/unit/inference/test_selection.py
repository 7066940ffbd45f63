from __future__ import annotations

import numpy as np
import pytest

from shoploom.data.arrays import F32, F64
from shoploom.inference.selection import RIDGE, Room, dpp, in_order, mmr

UTILITY = 11 / (10 + np.arange(1, 31))


def make_vectors(count: int = 30, width: int = 5, seed: int = 0) -> F32:
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def slow_mmr(utility: F64, vectors: F32, count: int, diversity: float, given: list[int]) -> list[int]:
    """Carbonell & Goldstein's formula, word for word."""
    alike = vectors.astype(float) @ vectors.astype(float).T
    chosen: list[int] = []
    while len(chosen) < count:
        on_list = given + chosen
        value = {
            i: (1 - diversity) * utility[i] - diversity * max((alike[i, j] for j in on_list), default=0.0)
            for i in range(len(utility))
            if i not in on_list
        }
        chosen.append(max(value, key=lambda i: value[i]))
    return chosen


def slow_dpp(utility: F64, vectors: F32, count: int, diversity: float, given: list[int]) -> list[int]:
    """Whole determinants instead of a growing Cholesky factor, and the paper's kernel L instead of S."""
    theta = 1 - diversity
    alike = (1 - RIDGE) * (1 + vectors.astype(float) @ vectors.astype(float).T) / 2
    np.fill_diagonal(alike, 1.0)
    weight = np.exp(theta / (2 * (1 - theta)) * utility)
    kernel = weight[:, None] * alike * weight
    chosen: list[int] = []
    while len(chosen) < count:
        rest = [i for i in range(len(utility)) if i not in given + chosen]
        value = {i: np.linalg.slogdet(kernel[np.ix_(given + chosen + [i], given + chosen + [i])])[1] for i in rest}
        chosen.append(max(value, key=lambda i: value[i]))
    return chosen


@pytest.mark.parametrize("diversity", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("given", [[], [7, 3]])
def test_mmr_follows_its_formula(diversity: float, given: list[int]) -> None:
    vectors, room = make_vectors(), Room(30)
    for place in given:
        room.take(place)
    found = mmr(UTILITY, vectors, room, 8, diversity=diversity, given=given)
    assert found == slow_mmr(UTILITY, vectors, 8, diversity, given)


@pytest.mark.parametrize("diversity", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("given", [[], [7, 3]])
def test_the_fast_dpp_chooses_what_determinants_choose(diversity: float, given: list[int]) -> None:
    vectors, room = make_vectors(), Room(30)
    for place in given:
        room.take(place)
    found = dpp(UTILITY, vectors, room, 5, diversity=diversity, given=given)
    assert found == slow_dpp(UTILITY, vectors, 5, diversity, given)


@pytest.mark.parametrize("choose", [mmr, dpp])
def test_without_diversity_the_order_of_the_utility_stays(choose: object) -> None:
    assert choose(UTILITY, make_vectors(), Room(30), 30, diversity=0.0) == list(range(30))  # type: ignore[operator]


@pytest.mark.parametrize("choose", [mmr, dpp])
@pytest.mark.parametrize("diversity", [0.3, 1.0])
def test_of_twins_one_comes_first_and_the_other_late(choose: object, diversity: float) -> None:
    vectors = np.eye(6, dtype=np.float32)[[0, 0, 0, 1, 2, 3]]  # three of a kind, then one each of three others
    utility = np.linspace(1, 0.9, 6)
    found = choose(utility, vectors, Room(6), 6, diversity=diversity)  # type: ignore[operator]
    assert found[:4] == [0, 3, 4, 5]
    assert sorted(found) == list(range(6))


def test_caps_hold_in_every_way_of_choosing() -> None:
    groups = np.array([0, 0, 0, 1, 1, -1, -1, -1], dtype=np.int32)
    utility, vectors = np.linspace(1, 0.1, 8), make_vectors(8)
    assert in_order(range(8), Room(8, [(groups, 1)]), 8) == [0, 3, 5, 6, 7]
    for choose in (mmr, dpp):
        found = choose(utility, vectors, Room(8, [(groups, 1)]), 8, diversity=0.5)
        assert len(found) == 5
        assert {0, 5, 6, 7} <= set(found)


def test_two_caps_hold_at_once_and_name_what_they_keep_out() -> None:
    brands, kinds = np.array([0, 0, 1, 1], dtype=np.int32), np.array([0, 1, 0, 1], dtype=np.int32)
    room = Room(4, [(brands, 1), (kinds, 1)])
    assert in_order(range(4), room, 4) == [0, 3]
    assert [room.full(place) for place in range(4)] == [True, True, True, True]
    assert not Room(4, [(brands, 1)]).full(0)
