"""What stands on standard error when JSON is asked for: objects, one a line, and nothing personal in any."""

import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from test_cli import afstem
from test_sample_data import SAMPLE_DATA

SECRET = "0741000012"  # no CPR number: no month has 41 days


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("logs") / "workspace"
    shutil.copytree(SAMPLE_DATA, workspace, ignore=shutil.ignore_patterns("var", "reports"))
    return workspace


def events(stderr: str) -> list[dict[str, Any]]:
    """Every line, each an object with what all of them have."""
    lines = [json.loads(line) for line in stderr.splitlines()]
    for line in lines:
        assert {"time", "level", "event", "logger"} <= set(line)
        assert line["time"].endswith("Z")
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    return lines


def test_a_night_in_json(workspace: Path) -> None:
    words = ("run", "--as-of", "2026-11-23", "--json")
    [nothing_loaded, _] = events(afstem("--log-format", "json", *words, cwd=workspace).stderr)
    assert nothing_loaded["event"].startswith("the store knows no citizen")
    assert events(afstem("--log-format", "json", "reference", "load", "reference", cwd=workspace).stderr) == []
    done = afstem("-v", "--log-format", "json", *words, cwd=workspace)
    lines, told = events(done.stderr), json.loads(done.stdout)
    assert {line.get("run_id") for line in lines} == {told["run_id"]}
    assert lines[0]["event"] == "judging as of 2026-11-23"
    [unavailable] = [line for line in lines if line["level"] == "warning"]
    assert (unavailable["actor"], unavailable["reason"]) == ("kommune-013", "no-such-folder")
    steps = [line["step"] for line in lines if "step" in line]
    assert steps == ["take in", "reconcile", "prepare report and apply", "publish"]
    assert all(line["seconds"] >= 0 <= line["cpu_seconds"] for line in lines if "step" in line)
    assert (lines[-1]["status"], lines[-1]["records"]) == (told["status"], told["records"])
    for_people = afstem("-v", *words, cwd=workspace).stderr
    assert "WARNING kommune-013: unavailable: no-such-folder\n" in for_people
    assert "{" not in for_people


def test_what_stops_a_command_is_an_object_too(workspace: Path) -> None:
    for words, exit_code in ((("run", "--as-of", "tomorrow"), 2), (("run", "--what"), 2), (("explain", "1"), 2)):
        done = afstem("--log-format", "json", *words, cwd=workspace)
        [line] = events(done.stderr)
        assert done.returncode == line["exit_code"] == exit_code
        assert line["level"] == "error"


FAILING = """
import logging, sys, threading, warnings
from afstem import cli, explain

def fail(*_):
    logging.getLogger("library").error("it has failed: %s", ValueError("{secret}"))
    try:
        raise ValueError("{secret}")
    except ValueError:
        logging.getLogger("library").exception("it has failed")
    warnings.warn("{secret}")
    thread = threading.Thread(target=lambda: int("{secret}x"))
    thread.start()
    thread.join()
    raise ValueError("{secret}\\n{secret}")

explain.explain_code = fail
sys.argv = ["afstem", "--log-format", "json", "explain", "9155"]
cli.console()
"""


def test_of_what_nobody_foresaw_kind_and_place_are_told_and_no_word(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAILING.format(secret=SECRET)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    lines = events(done.stderr)
    assert SECRET not in done.stdout + done.stderr
    assert done.returncode == lines[-1]["exit_code"] == 1
    assert lines[0]["event"] == "it has failed: ValueError"
    assert lines[1]["trace"].endswith("ValueError")
    assert lines[2]["event"].endswith("UserWarning")
    assert lines[3]["event"].startswith("afstem: in a thread: ")
    assert "in fail" in lines[4]["trace"]
    assert lines[5]["event"] == "internal error (ValueError)"
    assert len(lines) == 6
