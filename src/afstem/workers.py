"""Workers: processes that judge and settle beside this one.

Python runs one thread of its own at a time, and what the libraries must be asked is Python; so records are judged in
as many processes as there are cores. Workers are handed paths, ids and counts, read what they need from the landing
zone and the store themselves, and write what they find into the run's staging folder.
"""

import contextlib
import ctypes
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Literal, TypeVar

from afstem.discretion import be_discreet
from afstem.errors import WorkerDied, told_without_content

Result = TypeVar("Result")

SECONDS_BETWEEN_TELLING = 0.2

_PR_SET_PDEATHSIG = 1

_counter: Any = None
"""In a worker: how many records all workers have judged, shared with the process that waits."""


class Workers:
    """Runs functions elsewhere, or, without processes, here and now.

    What is called must be importable by its name, and its arguments and result small.
    """

    def __init__(self) -> None:
        self.cpu_seconds = 0.0

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The function's result; raises what it raised, or `WorkerDied`."""
        return function(*arguments)

    def begin(self, function: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        """Begin, and give a function that waits for the end and returns or raises as `call` does."""
        result = self.call(function, *arguments)
        return lambda: result

    def each(self, function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> list[Result]:
        """The results for all jobs, in their order."""
        begun = [self.begin(function, *job) for job in jobs]
        return [wait() for wait in begun]


class Processes(Workers):
    """Workers that are processes; `workers` makes them."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        super().__init__()
        self._pool = pool

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return self.begin(function, *arguments)()

    def begin(self, function: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        try:
            return partial(self._wait, self._pool.submit(_timed, function, *arguments))
        except BrokenProcessPool:
            raise WorkerDied from None

    def _wait(self, future: "Future[tuple[Result, float]]") -> Result:
        try:
            result, cpu_seconds = future.result()
        except BrokenProcessPool:
            raise WorkerDied from None
        self.cpu_seconds += cpu_seconds
        return result


@contextlib.contextmanager
def workers(
    processes: int, start: Literal["fork", "forkserver"], on_records: Callable[[int], None] = lambda records: None
) -> Iterator[Workers]:
    """So many processes, which end with the block, or with this process however it ends.

    ``fork`` is quick and shares memory, and only for a process that has no other threads yet; ``forkserver`` starts
    them when the first work comes. ``on_records`` hears, from a thread of its own, how many more records were judged.
    """
    context = multiprocessing.get_context(start)
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(processes, context, _begin, (counter,))
    if start == "fork":
        pool.submit(_nothing).result()  # starts all of them, before any thread of a run
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(counter, done, on_records), daemon=True)
    teller.start()
    try:
        yield Processes(pool)
    finally:
        done.set()
        teller.join()
        pool.shutdown(cancel_futures=True)


def count_records(records: int) -> None:
    """Say, in a worker, that so many more records were judged."""
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += records


@told_without_content()  # the pool logs what goes wrong here
def _begin(counter: Any) -> None:
    global _counter
    _counter = counter
    be_discreet()  # forked workers are already, those that a server forks are not
    # A worker waits for work on a pipe that it holds open itself: for ever, if its parent was killed.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the process that waits


def _nothing() -> None:
    """A first task."""


def _timed(function: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    begin = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - begin


def _tell(counter: Any, done: threading.Event, on_records: Callable[[int], None]) -> None:
    told = 0
    while True:
        last = done.wait(SECONDS_BETWEEN_TELLING)
        judged = counter.value
        if judged > told:
            on_records(judged - told)
            told = judged
        if last:
            return
