"""A cluster: workers on other machines, under Dask (docs/scaling.md).

Dask brings a call to a machine and what came of it back, and calls again where a machine was lost. There the call is
done by a process of ours beside Dask's (`workers`), so that a file costs no more there than here, and a hostile one is
the death of that process only, never of Dask's.

Dask may do a call twice: what is called stages its work so that the second time adds nothing. Nothing that was raised
passes through Dask, which logs exceptions with all that the call was given: it comes back as what the call returned.
"""

import asyncio
import concurrent.futures
import contextlib
import hashlib
import logging
import multiprocessing
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afstem.errors import OURS, ClusterFailed, UsageError, told_without_content
from afstem.workers import Result, Workers, workers

if TYPE_CHECKING:
    from distributed import Client, Future

ASK_SECONDS = 1.0
"""So often one who waits for a call looks whether there is anybody left to do it."""

DECIDE = ("email-validator", "numpy", "phonenumbers", "pyarrow", "tzdata")
"""The packages that have a say in a verdict, or in how it is staged."""

NOT_A_DAEMON = "DASK_DISTRIBUTED__WORKER__DAEMON=False"

_ON_THIS_MACHINE = {
    "distributed.worker.daemon": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Dask's settings for a cluster of our own: its workers may begin processes, and no web page tells of it."""

_SCHEDULER_LOST = "the scheduler of the cluster was lost: nothing was changed, run again"

_making = threading.Lock()
_beside: Workers | None = None
"""In a worker of Dask: the processes beside it."""


class Cluster(Workers):
    """Workers on the machines of a cluster; `cluster` makes it."""

    is_elsewhere = True

    def __init__(self, client: "Client", seconds: float, on_records: Callable[[int], None]) -> None:
        super().__init__()
        self._client = client
        self._seconds = seconds
        self._on_records = on_records
        self._telling = threading.Lock()
        self._asking = threading.Lock()
        self._asked = self._seen = time.monotonic()
        self._failed: str | None = None

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return self._call(function, arguments, afresh=False)

    def call_afresh(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return self._call(function, arguments, afresh=True)

    def _call(self, function: Callable[..., Result], arguments: tuple[Any, ...], afresh: bool) -> Result:
        if self._failed is not None:
            raise ClusterFailed(self._failed)
        key = f"afstem-{function.__name__}-{secrets.token_hex(8)}"
        future = self._client.submit(do, function, arguments, afresh, made_of(), key=key, pure=False)
        try:
            result, cpu_seconds, records = self._wait(future)
        finally:
            with contextlib.suppress(OSError):  # the scheduler is gone, and the call with it
                future.release()
        with self._telling:
            self.cpu_seconds += cpu_seconds
            self._on_records(records)
        if isinstance(result, BaseException):
            raise result
        return result

    def _wait(self, future: "Future") -> Any:
        from distributed import CancelledError, KilledWorker

        # Not `future.result` with a time-out: where one of several times out, it may take the others' results with it.
        gathering = self._client.gather([future], asynchronous=True)
        gathered = asyncio.run_coroutine_threadsafe(gathering, self._client.loop.asyncio_loop)
        while True:
            try:
                return gathered.result(ASK_SECONDS)[0]
            except TimeoutError:
                if gathered.done():  # it is no time-out of ours
                    raise self._fail(_SCHEDULER_LOST) from None
                self._look_for_workers()
            except KilledWorker:
                raise self._fail(
                    "the workers of the cluster were killed one after the other, perhaps for want of memory: nothing "
                    "was changed; look into their logs, and run again"
                ) from None
            except (CancelledError, concurrent.futures.CancelledError, OSError):
                raise self._fail(_SCHEDULER_LOST) from None
            except Exception as error:  # noqa: BLE001 - of Dask itself, before or after what it was asked to do
                raise self._fail(
                    f"a worker of the cluster could not be asked ({type(error).__name__}): is the same afstem "
                    "installed on every machine?"
                ) from None

    def _look_for_workers(self) -> None:
        """Raise `ClusterFailed` where nobody is left, and nobody has come back in time."""
        with self._asking:
            if self._failed is not None:
                raise ClusterFailed(self._failed)
            if time.monotonic() - self._asked < ASK_SECONDS:
                return
            try:
                anybody = bool(self._client.nthreads())
            except (OSError, TimeoutError):  # `future.result` tells when the scheduler is given up
                anybody = False
            self._asked = time.monotonic()
            if anybody:
                self._seen = self._asked
            elif self._asked - self._seen > self._seconds:
                raise self._fail(
                    f"the cluster has had no worker for {self._seconds:g} s: nothing was changed; start workers, and "
                    "run again"
                )

    def _fail(self, message: str) -> ClusterFailed:
        """The failure, which is that of all further calls as well."""
        self._failed = message
        return ClusterFailed(message)


def check_cluster(config: Path) -> None:
    """Raise `UsageError` where Dask is not installed."""
    if find_spec("distributed") is None:
        raise UsageError(f"{config}: run.engine: dask needs pip install 'afstem[dask]'")


@contextlib.contextmanager
def cluster(
    address: str, processes: int, seconds: float, on_records: Callable[[int], None] = lambda records: None
) -> Iterator[Workers]:
    """The workers of the scheduler at an address; without one a cluster on this machine, which ends with the block.

    ``seconds`` is how long is waited for the scheduler and a first worker, and later while there is none. Raises
    `ClusterFailed`.
    """
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told here, in one line
    with contextlib.ExitStack() as stack:
        where: Any = address
        if not address:
            # A worker of Dask does what anybody tells it who can connect: here who has a key that lives as long as it.
            stack.enter_context(dask.config.set(_ON_THIS_MACHINE))
            where = stack.enter_context(
                LocalCluster(
                    n_workers=processes,
                    threads_per_worker=1,
                    memory_limit=0,  # what a file may take is ours to limit
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    security=Security.temporary(),
                )
            )
        try:
            client = stack.enter_context(Client(where, timeout=seconds, set_as_default=False))
        except (OSError, TimeoutError):
            raise ClusterFailed(f"the cluster at {address} cannot be reached: nothing was changed") from None
        try:
            client.wait_for_workers(1, timeout=seconds)
        except (OSError, TimeoutError):
            raise ClusterFailed(
                f"the cluster at {address} has no worker: nothing was changed; start some with "
                f"'{NOT_A_DAEMON} dask worker {address}', and run again"
            ) from None
        yield Cluster(client, seconds, on_records)


def do(
    function: Callable[..., Any], arguments: tuple[Any, ...], afresh: bool, needed: dict[str, str]
) -> tuple[Any, float, int]:
    """In a worker of Dask: have a call done; what came of it or was raised, its CPU seconds, and the records judged."""
    try:
        with told_without_content():
            _check_what_it_is_made_of(needed)
            beside = _processes_beside()
            call = beside.call_afresh if afresh else beside.call
            return call(measured, function, arguments)
    except OURS as error:
        return error.with_traceback(None), 0.0, 0


def measured(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float, int]:
    """In a process beside Dask's: do the call."""
    begin = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - begin, getattr(result, "records", 0)


@lru_cache(maxsize=1)
def made_of() -> dict[str, str]:
    """What a verdict depends on but for the configuration and the store: this program, and the libraries it asks."""
    program = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(path for ending in ("py", "toml") for path in folder.rglob(f"*.{ending}")):
        program.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    here = {"afstem": f"{version('afstem')} {program.hexdigest()[:12]}"}
    here["Python"] = ".".join(platform.python_version_tuple()[:2])
    return here | {package: version(package) for package in DECIDE}


def _check_what_it_is_made_of(needed: dict[str, str]) -> None:
    here = made_of()
    for name, wanted in needed.items():
        if here.get(name) != wanted:
            raise ClusterFailed(
                f"a worker of the cluster has {name} {here.get(name)}, this machine {wanted}: install the same on all"
            )
    if multiprocessing.current_process().daemon:
        raise ClusterFailed(
            f"a worker of the cluster may not begin processes: start it with {NOT_A_DAEMON} in its environment"
        )


def _processes_beside() -> Workers:
    """As many as the worker has threads; they end with it."""
    global _beside
    from distributed import get_worker

    with _making:
        if _beside is None:
            _beside = workers(get_worker().state.nthreads, "forkserver").__enter__()
        return _beside
