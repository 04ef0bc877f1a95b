"""Workers: processes that judge and settle beside this one.

Python runs one thread of its own at a time, and what the libraries must be asked is Python; so records are judged in
as many processes as there are cores. Workers are handed paths, ids and counts, read what they need from the landing
zone and the store themselves, and write what they find into the run's staging folder.

They are also what a hostile file may break: a worker reads a file within limits (`limited`), and where it dies all the
same, the call that it died of is known, no other call notices, and a new worker takes its place.
"""

import contextlib
import ctypes
import multiprocessing
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

from afstem.arrow_set_up import give_back_memory, set_up_memory
from afstem.discretion import be_discreet
from afstem.errors import WorkerDied, told_without_content

Result = TypeVar("Result")

MEMORY_BYTES = 640 * 2**20
"""What reading one file may take on top of what the worker holds already, such as the citizens of the store.

An extract is read and judged in batches, so that five million records take no more than fifty thousand; the most that
any legal one was seen to take is told in docs/reliability.md. With a worker's own beginnings it stays below 1 GB.
"""

CPU_SECONDS = 10.0
CPU_SECONDS_PER_MEGABYTE = 20.0
"""Of the file as delivered. The slowest legal megabyte is one of which every value is odd and distinct, so that the
libraries must be asked: some 60,000 records in packed Parquet, at 30,000 a second."""

WALL_SECONDS_PER_CPU_SECOND = 60
"""A worker that waits for ever uses no CPU. On a machine so busy that this is reached, the file is tried again."""

MEMORY_KEPT = 256 * 2**20
"""A worker that has grown more than this by a file gives back what it has freed (`arrow_set_up` has it kept), or each
hostile file could take as much again as the one before."""

IDLE_SECONDS = 0.05
MEMORY_KEPT_IDLE = 512 * 2**20
"""A worker that is larger than this and has had nothing to do for so long gives back what it has freed: a step has
ended, and the next begins with other data. A night of a million records does not reach it."""

_PR_SET_PDEATHSIG = 1
_PAGES_RESIDENT, _PAGES_OF_DATA = 1, 5
"""The places of "resident" in ``/proc/self/statm``, as proc(5) has it, and of "data + stack": what RLIMIT_DATA is held
against."""

_told: "Connection | None" = None
"""In a worker: where it tells what it has done. None elsewhere."""


class Workers:
    """Runs functions elsewhere, or, without processes, here and now.

    What is called must be importable by its name, and its arguments and result small.
    """

    is_elsewhere = False
    """Whether they are on other machines, whose power may go while this one goes on."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The function's result; raises what it raised, or `WorkerDied`."""
        return function(*arguments)

    def call_afresh(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The same in a new process, which nothing that was done before can have spoilt."""
        return self.call(function, *arguments)

    def begin(self, function: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        """Begin, and give a function that waits for the end and returns or raises as `call` does."""
        result = self.call(function, *arguments)
        return lambda: result

    def each(self, function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> list[Result]:
        """The results for all jobs, in their order."""
        begun = [self.begin(function, *job) for job in jobs]
        return [wait() for wait in begun]

    def let_go(self) -> None:
        """Nothing is going to be called any more: they may end while this process goes on."""


class Processes(Workers):
    """Workers that are processes; `workers` makes them. One thread waits for each."""

    def __init__(
        self, all_of_them: "list[_Worker]", threads: ThreadPoolExecutor, on_records: Callable[[int], None]
    ) -> None:
        super().__init__()
        self._all_of_them = all_of_them
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in all_of_them:
            self._idle.put(worker)
        self._threads = threads
        self._on_records = on_records
        self._telling = threading.Lock()

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return self._call(function, arguments, afresh=False)

    def call_afresh(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return self._call(function, arguments, afresh=True)

    def begin(self, function: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        future: Future[Result] = self._threads.submit(self._call, function, arguments, afresh=False)
        return future.result

    def let_go(self) -> None:
        for worker in self._all_of_them:
            worker.let_go()

    def _call(self, function: Callable[..., Result], arguments: tuple[Any, ...], afresh: bool) -> Result:
        worker = self._idle.get()
        try:
            if afresh:
                worker.stop()
            result, cpu_seconds = worker.call(function, arguments, self._hear)
        finally:
            self._idle.put(worker)
        with self._telling:
            self.cpu_seconds += cpu_seconds
        if isinstance(result, BaseException):
            raise result
        return result

    def _hear(self, records: int) -> None:
        with self._telling:
            self._on_records(records)


class _Worker:
    """One process and the pipe to it; started when it is first called, unless `start` came before."""

    def __init__(self, method: Literal["fork", "forkserver"]) -> None:
        self._method: Literal["fork", "forkserver"] = method
        self._process: Any = None
        self._pipe: Any = None

    def start(self) -> None:
        context: Any = multiprocessing.get_context(self._method)
        pipe, other_end = context.Pipe()
        process = context.Process(target=_work, args=(other_end,), daemon=True)
        process.start()
        other_end.close()  # so that the process's end is the only one, and its death the end of the pipe
        self._pipe, self._process = pipe, process

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], on_records: Callable[[int], None]
    ) -> tuple[Any, float]:
        """The function's result, or what it raised, and the CPU seconds it took; raises `WorkerDied`."""
        if self._process is None:
            self.start()
        try:
            self._ask(function, arguments)
            while isinstance(told := self._hear(), int):
                on_records(told)
        except BaseException:
            # Whatever it has still to tell would be taken for the answer to what it is asked next.
            self._process.kill()
            self.stop()
            raise
        return told

    def _ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            self._pipe.send((function, arguments))
        except OSError:
            raise self._death() from None

    def _hear(self) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None

    def _death(self) -> WorkerDied:
        self._process.join()
        exit_code = self._process.exitcode
        return WorkerDied(-exit_code if exit_code < 0 else None)

    def let_go(self) -> None:
        """Let the process end once it has done what it was asked, without waiting for it."""
        if self._process is not None:
            with contextlib.suppress(OSError):  # it is dead already
                self._pipe.send(None)

    def stop(self) -> None:
        """Let the process end once it has done what it was asked; the next call starts another."""
        if self._process is None:
            return
        self.let_go()
        self._pipe.close()
        self._process.join()
        self._process.close()
        self._process = None
        self._method = "forkserver"  # by now this process may have threads


@contextlib.contextmanager
def workers(
    processes: int, start: Literal["fork", "forkserver"], on_records: Callable[[int], None] = lambda records: None
) -> Iterator[Workers]:
    """So many processes, which end with the block, or with this process however it ends.

    ``fork`` is quick and shares memory, and only for a process that has no other threads yet; ``forkserver`` starts
    each when its first work comes. ``on_records`` hears, from threads, how many more records were judged.
    """
    set_up_memory()  # Arrow's own pool takes a gigabyte from the system before it is needed: no limit could be told
    all_of_them = [_Worker(start) for _ in range(processes)]
    for worker in all_of_them:
        if start == "fork":
            worker.start()
    with ThreadPoolExecutor(processes) as threads:
        try:
            yield Processes(all_of_them, threads, on_records)
        finally:
            threads.shutdown(cancel_futures=True)
            for worker in all_of_them:
                worker.stop()


def count_records(records: int) -> None:
    """Say, in a worker, that so many more records were judged."""
    if _told is not None:
        _told.send(records)


@contextlib.contextmanager
def limited(file_bytes: int) -> Iterator[None]:
    """In a worker: let what is done here, with a file of so many bytes, take no more than one file may.

    Beyond `MEMORY_BYTES` memory is refused (`MemoryError`, or the death of the worker where a library does not expect
    that); beyond its time the worker dies, `WorkerDied.out_of_time`. Outside workers nothing is limited.
    """
    if _told is None:
        yield
        return
    seconds = CPU_SECONDS + CPU_SECONDS_PER_MEGABYTE * file_bytes / 1e6
    held = _data_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    memory = held + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (memory if soft == resource.RLIM_INFINITY else min(soft, memory), hard))
    # The default of either signal is death: a handler in Python would wait for the library to come back.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * WALL_SECONDS_PER_CPU_SECOND)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        if _data_bytes() > held + MEMORY_KEPT:
            give_back_memory()


def _data_bytes() -> int:
    return _memory_bytes(_PAGES_OF_DATA)


def _resident_bytes() -> int:
    return _memory_bytes(_PAGES_RESIDENT)


def _memory_bytes(place: int) -> int:
    return int(Path("/proc/self/statm").read_text().split()[place]) * resource.getpagesize()


@told_without_content()  # of what gets out of a process, Python prints all
def _work(pipe: "Connection") -> None:
    """In a worker: do what comes through the pipe, until nothing comes."""
    global _told
    _told = pipe
    set_up_memory()
    be_discreet()  # forked workers are already, those that a server forks are not
    # A worker waits for work on a pipe of which workers begun after it hold the other end as well: for ever, if its
    # parent was killed.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the process that waits
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold personal data
    while asked := pipe.recv():
        function, arguments = asked
        begin = time.process_time()
        try:
            result = function(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for, or Python would print it
            result = error.with_traceback(None)
        pipe.send((result, time.process_time() - begin))
        if not pipe.poll(IDLE_SECONDS) and _resident_bytes() > MEMORY_KEPT_IDLE:
            give_back_memory()
