"""The same work in several processes at the same moment."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import quantiles
from typing import TypeVar

T = TypeVar("T")
READY_SECONDS = 2.0
"""What the processes have to start and import in, before all of them begin."""


def together(processes: int, work: Callable[[], T]) -> list[T]:
    """What `work` returned in each of so many new processes that began together."""
    begin = time.time() + READY_SECONDS
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(_at, begin, work) for _ in range(processes)]
        return [part.result() for part in parts]


def _at(begin: float, work: Callable[[], T]) -> T:
    time.sleep(max(0.0, begin - time.time()))
    return work()


def percentile(values: Sequence[float], number: int) -> float:
    """The value that so many percent of the values do not exceed."""
    return quantiles(values, n=100, method="inclusive")[number - 1]
