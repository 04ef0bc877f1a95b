"""Logs on standard error: lines for people, or for whatever collects them a JSON object a line.

An object has ``time``, ``level``, ``event`` (what a person would read), ``logger``, within a run its ``run_id``, and
those of `FIELDS` that the event is about. What may be told at all is the matter of `discretion`.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from afstem import discretion

log = logging.getLogger("afstem")

FIELDS = (
    "run_id",
    "actor",
    "extract",
    "reason",
    "step",
    "seconds",
    "cpu_seconds",
    "status",
    "records",
    "exit_code",
    "trace",
)
"""What an event may carry as ``extra``; whatever else a library attaches to a log record stays out."""

_of_run: str | None = None
"""The run of this process, which has one at a time; its threads log about it too."""


@contextmanager
def about_run(run_id: str) -> Iterator[None]:
    """Let every event in the meantime tell that it belongs to this run."""
    global _of_run
    _of_run = run_id
    try:
        yield
    finally:
        _of_run = None


class JsonLines(logging.Formatter):
    """One JSON object a log record; whatever is told, it is one line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        line |= {"run_id": _of_run} if _of_run else {}
        line |= {name: vars(record)[name] for name in FIELDS if name in vars(record)}
        line |= {"trace": record.exc_text} if record.exc_text else {}
        return json.dumps(line, ensure_ascii=False)


def set_up_logs(*, verbose: bool, as_json: bool) -> None:
    """Log to standard error: warnings and worse, or for those who ask for it more."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    discretion.speak = log.error if as_json else discretion.print_to_stderr


def are_json() -> bool:
    """Whether standard error takes nothing but JSON."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)
