"""Two jobs at once: rivals are fitted in a thread, on half the cores, while the shared model trains on the others.

Small tensors leave a second core idle half of the time, and so do members; together they keep two busy. The
results do not depend on the timing: each member draws from seeds of its own and trees are the same with any number of
threads. The shared model is bit-equal on machines with equally many cores; elsewhere sums are added in another order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import torch

from shoploom.ensemble.members.trees import THREADS

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - it is no error
    """Nobody wants the results any more."""


@contextmanager
def beside(work: Callable[[Event], T]) -> Iterator[Future[T]]:
    """Run ``work`` in a thread during the block, and wait for it at the end.

    Args:
        work: Is given an event and must raise ``Stopped`` soon after that is set: the block failed.

    Yields:
        Its result, complete after the block.
    """
    stop, cores = Event(), os.cpu_count() or 1
    usual = torch.get_num_threads()
    torch.set_num_threads(max(1, min(usual, cores - cores // 2)))
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rivals")
    try:
        future = pool.submit(_with_threads, max(1, cores // 2), work, stop)
        yield future
        future.result()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True)
        torch.set_num_threads(usual)


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensor operations use one thread inside the block, as in the service: waiting for another looks like work."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _with_threads(threads: int, work: Callable[[Event], T], stop: Event) -> T:
    THREADS.set(min(threads, THREADS.get()))
    return work(stop)
