"""What Prometheus reads of a night: parsed as Prometheus does, and held against what the run told."""

import json
import re
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import make_url
from test_cli import afstem, change, hold
from test_sample_data import SAMPLE_DATA
from whole_run import load_and_run, run_again

from afstem import pipeline
from afstem.errors import InternalError, StoreBusy
from afstem.store import Store

FILE = "collected/afstem.prom"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    shutil.copytree(SAMPLE_DATA, workspace, ignore=shutil.ignore_patterns("var", "reports"))
    change(workspace, "[run]", f'[metrics]\ntextfile = "{FILE}"\n[run]')
    (workspace / "collected").mkdir()
    return workspace


Metrics = dict[str, dict[str, float]]


def read(workspace: Path) -> Metrics:
    """By name the values, and these by the value of their one label ("" where there is none)."""
    text = (workspace / FILE).read_text()
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            [label] = [*sample.labels.values()] or [""]
            found.setdefault(sample.name, {})[label] = sample.value
    assert [path.name for path in (workspace / "collected").iterdir()] == ["afstem.prom"]
    return found


def with_counts(told: dict[str, Any], metrics: Metrics) -> None:
    """The counts are those of the summary; what is nought there is nought here."""
    assert metrics["afstem_run_records"] == told["outcomes"]
    for name, counts in (("afstem_run_findings", told["findings"]), ("afstem_run_notices", told["notices"])):
        assert {code: count for code, count in metrics[name].items() if count} == counts
    assert len(metrics["afstem_run_findings"]) == 12
    states = [extract["state"] for extract in told["extracts"]]
    assert metrics["afstem_run_extracts"] == {
        state: states.count(state) for state in ("applied", "held", "refused", "already-applied")
    }
    for state in ("held", "refused"):
        actors = {extract["actor"] for extract in told["extracts"] if extract["state"] == state}
        assert metrics[f"afstem_actor_{state}"] == dict.fromkeys(actors, 1)
    assert metrics["afstem_actor_unavailable"] == dict.fromkeys(told["unavailable"], 1)
    assert metrics["afstem_run_actors"]["unavailable"] == len(told["unavailable"])
    assert sum(metrics["afstem_run_actors"].values()) == 12


def test_a_night_and_the_next(store_url: str, workspace: Path) -> None:
    change(workspace, "sqlite:///var/afstem.db", make_url(store_url).render_as_string(hide_password=False))
    before = time.time()
    told = load_and_run(workspace)
    metrics, after = read(workspace), time.time()
    with_counts(told, metrics)
    assert metrics["afstem_run_exit_code"] == {"": 3}
    begun, duration = metrics["afstem_run_start_timestamp_seconds"][""], metrics["afstem_run_duration_seconds"][""]
    assert before <= begun <= metrics["afstem_run_success_timestamp_seconds"][""] <= after
    assert metrics["afstem_run_success_timestamp_seconds"][""] == pytest.approx(begun + duration)
    store = Store.open(store_url)
    assert metrics["afstem_store_bytes"][""] == pytest.approx(store.size(), rel=0.2)
    assert store.size() > 100_000
    store.close()
    with_counts(again := run_again(workspace), read(workspace))
    assert again["outcomes"]["applied"] == 0
    assert stat.S_IMODE((workspace / FILE).stat().st_mode) & 0o044 == 0o044  # another user collects it


def test_a_night_without_trouble_is_0(workspace: Path) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    told = run_again(workspace, actors=("star",))
    metrics = read(workspace)
    assert (told["status"], metrics["afstem_run_exit_code"]) == ("completed", {"": 0})
    assert metrics["afstem_run_actors"] == {"delivered": 1, "nothing": 0, "unavailable": 0}
    assert not {"afstem_actor_unavailable", "afstem_actor_held", "afstem_actor_refused"} & set(metrics)


def test_a_dry_run_is_no_night(workspace: Path) -> None:
    load_and_run(workspace)
    before = (workspace / FILE).read_bytes()
    run_again(workspace, dry_run=True)
    assert (workspace / FILE).read_bytes() == before


@pytest.mark.parametrize("step", ["reconcile", "apply", "publish"])
def test_a_night_that_fails_tells_that_and_when_all_was_well(
    step: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_and_run(workspace)
    before = read(workspace)

    def fails(*_: object) -> None:
        raise KeyError("0741000012")

    monkeypatch.setattr(pipeline, step, fails)
    with pytest.raises(InternalError):
        run_again(workspace)
    metrics = read(workspace)
    assert metrics["afstem_run_exit_code"] == {"": 1}
    key = "afstem_run_success_timestamp_seconds"
    assert metrics[key] == before[key]
    assert metrics["afstem_run_start_timestamp_seconds"][""] > before[key][""]
    assert "afstem_run_records" not in metrics


def test_what_stops_before_it_begins(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(workspace, "min_records = 100")
    change(workspace, '"star"', '"stjerne"', "actors.toml")
    assert afstem("run", cwd=workspace).returncode == 2
    assert read(workspace)["afstem_run_exit_code"] == {"": 2}
    assert "afstem_run_success_timestamp_seconds" not in read(workspace)
    change(workspace, '"stjerne"', '"star"', "actors.toml")

    def is_busy(_: object) -> None:
        raise StoreBusy("another run holds it")

    monkeypatch.setattr(pipeline, "_exclusive", is_busy)
    with pytest.raises(StoreBusy):
        run_again(workspace)
    assert read(workspace)["afstem_run_exit_code"] == {"": 1}


def test_a_collector_that_is_not_there_is_no_reason_to_fail(workspace: Path) -> None:
    (workspace / "collected").rmdir()
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    done = afstem("run", "--as-of", "2026-11-23", "--json", cwd=workspace)
    assert done.returncode == 3
    assert f"{FILE} cannot be written: No such file or directory" in done.stderr
    assert json.loads(done.stdout)["outcomes"]["applied"] > 1000
    looked = afstem("doctor", cwd=workspace)
    assert "warning  disk           metrics: there is no " in looked.stdout


def test_a_file_of_somebody_else_is_replaced_too(workspace: Path) -> None:
    (workspace / FILE).write_text("this is{ no metric\n")
    load_and_run(workspace)
    assert read(workspace)["afstem_run_exit_code"] == {"": 3}


def test_its_name_must_be_one_that_is_collected(workspace: Path) -> None:
    change(workspace, FILE, "collected/afstem.txt")
    done = afstem("run", cwd=workspace)
    assert done.returncode == 2
    assert "metrics.textfile" in done.stderr


def test_the_page_for_operators_names_what_there_is(workspace: Path) -> None:
    load_and_run(workspace)
    page = (SAMPLE_DATA.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page[page.index("## Metrics") : page.index("## Upgrading")]
    told = set(re.findall(r"\bafstem_[a-z_]+\b", section))
    assert told == set(read(workspace))
    [rules] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    alerts = yaml.safe_load(rules)["groups"][0]["rules"]
    assert [alert["alert"] for alert in alerts] == ["NoNight", "NightFailed", "ActorUnavailable", "ExtractHeld"]
