"""Start the program at a given moment, as one of several attempts at a night, with a fault planted in it.

    python tests/faults/start.py '{"now": "2026-11-24T02:00:00+00:00", "attempt": 2}' run --config ...
    python tests/faults/start.py '{"now": ...}' flow --config ...

The clock stands still and a run's id ends in the number of the attempt, so that what two starts leave behind can be
compared to the last byte. A process of its own: a fault may kill it.

``plant``: ``["module:function", {...}]``, a function of this folder that is called before the program begins.
``serial``: one thread, so that the N-th system call is the same one every time.
``tuned``: attributes of modules, ``{"afstem.settlement.RECORDS_PER_RANGE": 20}``.
"""

import importlib
import json
import runpy
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

TESTS = Path(__file__).parents[1]
FLOW = TESTS.parent / "flows" / "reconcile.py"


def main() -> None:
    asked = json.loads(sys.argv[1])
    # Not this folder, which Python put first: the faults are modules of a package.
    sys.path[0] = str(TESTS)
    set_up(asked)
    if "plant" in asked:
        place, arguments = asked["plant"]
        module, _, function = place.partition(":")
        getattr(importlib.import_module(f"faults.{module}"), function)(**arguments)
    if sys.argv[2] == "flow":
        sys.argv[:] = [str(FLOW), *sys.argv[3:]]
        runpy.run_path(str(FLOW), run_name="__main__")
        return
    sys.argv[:] = ["afstem", *sys.argv[2:]]
    from afstem.cli import console

    console()


def set_up(asked: dict[str, Any]) -> None:
    from afstem import clock, pipeline
    from afstem.report import publication, sampling

    moment = datetime.fromisoformat(asked["now"])
    clock.now = lambda: moment
    pipeline.secrets = SimpleNamespace(token_hex=lambda octets: f"{asked.get('attempt', 0):0{2 * octets}x}")  # type: ignore[assignment]
    draw = sampling.draw
    sampling.draw = lambda findings, run_id: draw(findings, "")  # else the examples would depend on the attempt
    if asked.get("serial"):
        pipeline.ThreadPoolExecutor = publication.ThreadPoolExecutor = OneAfterTheOther  # type: ignore[misc,assignment]
        pipeline.workers = None  # type: ignore[assignment]
        run = pipeline.run
        pipeline.run = lambda request, processes, on_records: run(request)
    for name, value in asked.get("tuned", {}).items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)


class OneAfterTheOther:
    """A pool of threads that has none."""

    def __init__(self, max_workers: int) -> None:
        pass

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - the future tells it
            future.set_exception(error)
        return future

    def map(self, function: Callable[..., Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return iter([function(argument) for argument in arguments])

    def __enter__(self) -> "OneAfterTheOther":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


if __name__ == "__main__":
    main()
