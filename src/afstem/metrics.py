"""Metrics of the last run, for the textfile collector of Prometheus's node exporter (`[metrics] textfile`).

The file is replaced at the end of every run but a dry one, whether it succeeded or not. Of a run that failed it tells
when, for how long and with which exit code, and keeps since when the last one that did not fail is over; counts of
what was not applied would mislead. It holds actors' ids and counts, nothing else.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afstem import clock
from afstem.errors import DONE, DONE_WITH_REFUSALS, AfstemError, RunError
from afstem.rules import NOTICE_OF_CODE, RULE_OF_CODE
from afstem.settings import Settings
from afstem.store import Store

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

DONE_AT = "afstem_run_success_timestamp_seconds"
"""When the last run was over that did not fail: exit code 0 or 3."""

Note = Callable[[Callable[[], Mapping[str, Any]], Store], None]


@contextmanager
def metrics_of_run(settings: Settings, *, dry_run: bool) -> Iterator[Note]:
    """Write the metrics of what is done in the meantime; a run that is done notes its manifest.

    Where they cannot be written, the run is none the worse, and a line of the log says so.
    """
    if settings.metrics is None or dry_run:
        yield lambda manifest, store: None
        return
    begun, began = clock.now(), time.monotonic()
    noted: dict[str, Any] = {}

    def note(manifest: Callable[[], Mapping[str, Any]], store: Store) -> None:
        noted["manifest"] = manifest()
        try:
            noted["store_bytes"] = store.size()
        except RunError as error:  # all that was asked for is done and stands
            log.warning("the size of the store is not in %s: %s", settings.metrics, error)

    exit_code = DONE
    try:
        yield note
        if noted["manifest"]["status"] != "completed":
            exit_code = DONE_WITH_REFUSALS
    except BaseException as error:
        exit_code = error.exit_code if isinstance(error, AfstemError) else AfstemError.exit_code
        noted.clear()
        raise
    finally:
        timing = {"start_timestamp": begun.timestamp(), "duration": time.monotonic() - began, "exit_code": exit_code}
        _write(settings.metrics, timing, noted)


def _write(path: Path, timing: Mapping[str, float], noted: Mapping[str, Any]) -> None:
    from prometheus_client import CollectorRegistry, write_to_textfile

    registry = CollectorRegistry()
    add = _Adder(registry)
    add("afstem_info", "The version of afstem", {"version": {version("afstem"): 1}})
    add("afstem_run_start_timestamp_seconds", "When the last run began", timing["start_timestamp"])
    add("afstem_run_duration_seconds", "How long the last run took", timing["duration"])
    add("afstem_run_exit_code", "0 done, 3 with refusals, 1 failed, 2 wrong configuration", timing["exit_code"])
    done_at = timing["start_timestamp"] + timing["duration"] if noted else _done_at(path)
    if done_at is not None:
        add(DONE_AT, "When the last run was over that did not fail", done_at)
    if noted:
        _add_counts(add, noted["manifest"])
    if "store_bytes" in noted:
        add("afstem_store_bytes", "The size of the store", noted["store_bytes"])
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        log.warning("%s cannot be written: %s; the metrics of this run are lost", path, error.strerror)


class _Adder:
    def __init__(self, registry: "CollectorRegistry") -> None:
        self._registry = registry

    def __call__(self, name: str, helps: str, value: float | Mapping[str, Mapping[str, float]]) -> None:
        """One gauge: a value, or values by what its one label says."""
        from prometheus_client import Gauge

        if not isinstance(value, Mapping):
            Gauge(name, helps, registry=self._registry).set(value)
            return
        for label, values in value.items():
            gauge = Gauge(name, helps, [label], registry=self._registry)
            for told, count in values.items():
                gauge.labels(told).set(count)


def _add_counts(add: _Adder, manifest: Mapping[str, Any]) -> None:
    actors, extracts = manifest["actors"], manifest["extracts"]
    findings = {str(code): manifest["findings"].get(str(code), 0) for code in RULE_OF_CODE}
    notices = {code: manifest["notices"].get(code, 0) for code in NOTICE_OF_CODE}
    add("afstem_run_records", "Records of the last run by outcome", {"outcome": manifest["outcomes"]})
    add("afstem_run_findings", "Findings of the last run by error code", {"code": findings})
    add("afstem_run_notices", "Records accepted with a notice", {"code": notices})
    states = Counter(dict.fromkeys(("delivered", "nothing", "unavailable"), 0))
    states.update(actor["delivery"] for actor in actors)
    add("afstem_run_actors", "Actors of the last run by what came of their delivery", {"delivery": states})
    states = Counter(dict.fromkeys(("applied", "held", "refused", "already-applied"), 0))
    states.update(extract["state"] for extract in extracts)
    add("afstem_run_extracts", "Extracts of the last run by state", {"state": states})
    for trouble in ("unavailable", "refused", "held"):
        of = {actor["id"] for actor in actors if actor["delivery"] == trouble}
        of |= {extract["actor"] for extract in extracts if extract["state"] == trouble}
        helps = f"Actors with a source or an extract that is {trouble}"
        add(f"afstem_actor_{trouble}", helps, {"actor": dict.fromkeys(sorted(of), 1)})


def _done_at(path: Path) -> float | None:
    """What the file that is to be replaced says of the last run that did not fail."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        families = [*text_string_to_metric_families(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return None  # the first run, or no file of ours
    return next((sample.value for family in families for sample in family.samples if sample.name == DONE_AT), None)
