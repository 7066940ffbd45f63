from __future__ import annotations

import threading
import time
from threading import Barrier, Event

import numpy as np
import pytest
import torch

from shoploom.ensemble.beside import at_once, beside
from shoploom.ensemble.members.trees import SMALL_TRAINING, THREADS, Trees


def test_jobs_run_during_the_block_and_the_threads_are_given_back():
    usual, trees, met = torch.get_num_threads(), THREADS.get(), Event()

    def work():
        met.set()
        return THREADS.get()

    with beside([work]) as found:
        assert met.wait(10)
        assert torch.get_num_threads() <= usual
    assert 1 <= found.results[0] <= trees
    assert torch.get_num_threads() == usual
    assert THREADS.get() == trees


def test_who_is_done_with_the_block_helps_and_results_are_in_order():
    together = Barrier(2, timeout=10)

    def work(number):
        together.wait()  # passes only if two threads are at it
        return number, threading.get_ident()

    found = at_once([lambda: work(0), lambda: work(1)])
    assert [number for number, _ in found] == [0, 1]
    assert len({thread for _, thread in found}) == 2


def test_a_failing_block_begins_no_further_job():
    seen, begun = [], Event()

    def work():
        seen.append("begun")
        begun.set()
        time.sleep(0.2)

    def diverges():
        with beside([work] * 1000):
            assert begun.wait(10)
            raise ValueError("diverged")

    with pytest.raises(ValueError, match="diverged"):
        diverges()
    assert len(seen) <= 2


def test_an_error_in_a_job_is_not_lost_and_ends_the_others():
    done = []

    def work(number):
        if number == 0:
            raise KeyError("no such member")
        time.sleep(0.05)
        done.append(number)

    with pytest.raises(KeyError, match="no such member"):
        at_once([lambda number=number: work(number) for number in range(1000)])
    assert len(done) < 10


def test_trees_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60_000, 20))
    assert features.size > SMALL_TRAINING
    target = features[:, 0] + rng.normal(size=len(features))
    found = []
    for threads in (1, 2):
        token = THREADS.set(threads)
        found.append(Trees.train(features, target, rounds=5, seed=0, params={"objective": "regression"}))
        THREADS.reset(token)
    np.testing.assert_array_equal(found[0](features), found[1](features))
