from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from shoploom.inference.batching import MOST, Batching
from shoploom.tasks.base import Cases, Ranked

ALL = np.ones(1000, dtype=bool)


def case(row: int, *, k: int = 3) -> Cases:
    return Cases(np.array([row], dtype=np.int32), when=np.array([float(row)]), k=k, allowed=ALL)


class Member:
    """Ranks items row, row + 1, ...; the first question waits until it is told to go on."""

    def __init__(self, bad: int = -1) -> None:
        self.sizes: list[int] = []
        self.bad = bad
        self.begun, self.go_on = Event(), Event()

    def __call__(self, cases: Cases) -> Ranked:
        self.sizes.append(len(cases))
        self.begun.set()
        assert self.go_on.wait(10)
        assert cases.when is not None
        np.testing.assert_array_equal(cases.when, cases.units)
        if self.bad in cases.units:
            raise ValueError(f"customer {self.bad} breaks the member")
        items = (cases.units[:, None] + np.arange(cases.k)).astype(np.int32)
        return Ranked(items, -items.astype(float))


def asked_at_once(member: Member, questions: list[Cases]) -> list[Ranked | BaseException]:
    """The first question is being answered when all others come."""
    batching = Batching(member)
    with ThreadPoolExecutor(len(questions)) as pool:
        first = pool.submit(batching, questions[0])
        assert member.begun.wait(10)
        others = [pool.submit(batching, one) for one in questions[1:]]
        while len(batching._waiting) < len(others):
            threading.Event().wait(0.001)
        member.go_on.set()
        return [one.exception() or one.result() for one in [first, *others]]


def test_those_who_wait_are_answered_together_each_with_its_own_answer():
    member = Member()
    found = asked_at_once(member, [case(row) for row in range(6)])
    assert member.sizes == [1, 5]
    for row, one in enumerate(found):
        assert one.items.tolist() == [[row, row + 1, row + 2]]


def test_different_questions_are_asked_apart():
    member = Member()
    found = asked_at_once(member, [case(0), case(1), case(2, k=4), case(3)])
    assert sorted(member.sizes) == [1, 1, 2]
    assert [one.items.shape[1] for one in found] == [3, 3, 4, 3]


def test_batches_have_a_limit():
    member = Member()
    asked_at_once(member, [case(row) for row in range(MOST + 5)])
    assert max(member.sizes) == MOST
    assert sum(member.sizes) == MOST + 5


def test_a_question_that_breaks_the_member_breaks_no_other():
    found = asked_at_once(Member(bad=2), [case(row) for row in range(5)])
    assert [isinstance(one, ValueError) for one in found] == [False, False, True, False, False]
    assert found[4].items.tolist() == [[4, 5, 6]]


def test_an_error_reaches_who_asked():
    member = Member(bad=7)
    member.go_on.set()
    with pytest.raises(ValueError, match="customer 7"):
        Batching(member)(case(7))
