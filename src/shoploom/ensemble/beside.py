"""Work at once: jobs are done in a thread, on half the cores, while the shared model trains on the others.

Small tensors leave a second core idle half of the time, and so do members; together they keep two busy. Who is done
with the block helps with the jobs that are left. The results do not depend on the timing: each member draws from seeds
of its own and trees are the same with any number of threads. The shared model is bit-equal on machines with equally
many cores; elsewhere sums are added in another order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

import torch

from shoploom.ensemble.members.trees import THREADS

T = TypeVar("T")


class Jobs(Generic[T]):
    """Jobs that several threads share: each takes the next one until none is left or one has failed."""

    def __init__(self, jobs: Sequence[Callable[[], T]]) -> None:
        self._jobs = list(enumerate(jobs))
        self._lock = Lock()
        self._done: dict[int, T] = {}

    @property
    def results(self) -> list[T]:
        """What the jobs gave, in their order; complete once all threads are through."""
        return [self._done[number] for number in sorted(self._done)]

    def work(self) -> None:
        """Do jobs until none is left."""
        while True:
            with self._lock:
                if not self._jobs:
                    return
                number, job = self._jobs.pop(0)
            try:
                self._done[number] = job()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Begin no further job."""
        with self._lock:
            self._jobs.clear()


@contextmanager
def beside(jobs: Sequence[Callable[[], T]]) -> Iterator[Jobs[T]]:
    """Do jobs in a thread during the block, and what is left of them in both threads at its end.

    If the block or a job fails, no further job begins, and the failure is raised at the end of the block.
    """
    cores, usual, shared = os.cpu_count() or 1, torch.get_num_threads(), Jobs(jobs)
    threads = max(1, min(cores // 2, THREADS.get()))
    torch.set_num_threads(max(1, min(usual, cores - cores // 2)))
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside")
    token = THREADS.set(threads)
    try:
        future = pool.submit(_with_threads, threads, shared.work)
        yield shared
        shared.work()
        future.result()
    except BaseException:
        shared.stop()
        raise
    finally:
        pool.shutdown(wait=True)
        THREADS.reset(token)
        torch.set_num_threads(usual)


def at_once(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Do jobs in two threads; their results in order."""
    with beside(jobs) as shared:
        pass
    return shared.results


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensor operations use one thread inside the block, as in the service: waiting for another looks like work."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _with_threads(threads: int, work: Callable[[], None]) -> None:
    THREADS.set(threads)
    work()
