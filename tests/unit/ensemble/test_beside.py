from __future__ import annotations

import time
from threading import Event

import numpy as np
import pytest
import torch

from shoploom.ensemble.beside import Stopped, beside
from shoploom.ensemble.members.trees import SMALL_TRAINING, THREADS, Trees


def test_both_jobs_run_at_once_and_the_threads_are_given_back():
    usual, met = torch.get_num_threads(), Event()

    def work(stop):
        assert not stop.is_set()
        met.set()
        return THREADS.get()

    with beside(work) as found:
        assert met.wait(10)
        assert torch.get_num_threads() <= usual
    assert found.result() >= 1
    assert torch.get_num_threads() == usual


def test_a_failing_block_stops_the_work():
    seen = []

    def work(stop):
        for _ in range(1000):
            if stop.is_set():
                seen.append("stopped")
                raise Stopped
            time.sleep(0.01)

    with pytest.raises(ValueError, match="diverged"), beside(work):
        raise ValueError("diverged")
    assert seen == ["stopped"]


def test_an_error_in_the_work_is_not_lost():
    def work(stop):
        raise KeyError("no such member")

    with pytest.raises(KeyError, match="no such member"), beside(work):
        pass


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
