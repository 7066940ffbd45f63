from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.data.sequences import Sequences
from shoploom.errors import DataError

LISTS = [[4, 1, 1], [], [2], [0, 3]]


def made() -> Sequences:
    return Sequences.of_lists(LISTS, 5)


def lists(sequences: Sequences) -> list[list[int]]:
    bounds = zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    return [sequences.items[a:b].tolist() for a, b in bounds]


def test_lists_come_back_as_they_were():
    assert lists(made()) == LISTS
    assert made().ages.tolist() == [2, 1, 0, 0, 1, 0]
    assert made().owners.tolist() == [0, 0, 0, 2, 3, 3]


def test_parts():
    assert lists(made().take(np.array([3, 0]))) == [[0, 3], [4, 1, 1]]
    assert lists(made().last(2)) == [[1, 1], [], [2], [0, 3]]
    assert lists(made().without_last(np.array([0, 2]))) == [[4, 1], [], [], [0, 3]]
    assert [(start, lists(block)) for start, block in made().blocks(3)] == [(0, LISTS[:3]), (3, LISTS[3:])]


def test_windows_ask_for_every_event_but_the_first_just_once():
    long = Sequences.of_lists([[0, 1, 2, 3, 4, 5], [], [6], [7, 8], [0, 1, 2]], 9)
    assert lists(long.windows(3)) == [[0, 1], [1, 2, 3], [3, 4, 5], [], [6], [7, 8], [0, 1, 2]]
    assert lists(long.windows(2))[:5] == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    assert lists(long.windows(99)) == lists(long)
    timed = replace(long, time=np.arange(len(long.items), dtype=np.float64))
    assert timed.windows(3).time.tolist()[:5] == [0, 1, 1, 2, 3]


def test_questions_are_what_came_before():
    asked, answers = made().asked_for_the_last()
    assert lists(asked) == [[4, 1], [0]]
    assert answers.tolist() == [1, 3]
    asked, answers = made().every_question()
    assert lists(asked) == [[4], [4, 1], [0]]
    assert answers.tolist() == [1, 1, 3]


def test_items_beyond_the_catalogue_are_refused():
    with pytest.raises(DataError, match="0 to 4, found 0 to 7"):
        Sequences.of_lists([[0, 7]], 5)


def test_nothing_at_all():
    none = Sequences.of_lists([], 5)
    assert len(none) == 0
    assert lists(none.last(3)) == []
    asked, answers = none.every_question()
    assert len(asked) == len(answers) == 0
