"""The commands as a person types them: what they print, and the exit codes of SPEC 7."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_sample_data import SAMPLE_DATA

from afstem import cli


def afstem(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "afstem", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


def in_process(
    *words: str, cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str, str]:
    """The same without starting Python anew: exit code, standard output, standard error."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", ["afstem", *words])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return done.value.code, *capsys.readouterr()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    # A name that a URL would read otherwise
    shutil.copytree(SAMPLE_DATA, tmp_path / "work space? #1", ignore=shutil.ignore_patterns("var", "reports"))
    return tmp_path / "work space? #1"


def test_a_night_from_the_shell(workspace: Path) -> None:
    loaded = afstem("reference", "load", "reference", "--json", cwd=workspace)
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert set(json.loads(loaded.stdout)["loaded"]) == {"citizens", "relations", "subscriptions", "contacts"}

    first = afstem("run", "--as-of", "2026-11-23", "--json", cwd=workspace)
    assert first.returncode == 3
    told = json.loads(first.stdout)
    assert {"run_id", "status", "report", "records", "outcomes", "findings", "extracts", "unavailable"} <= set(told)
    assert all({"actor", "file", "id", "state"} <= set(extract) for extract in told["extracts"])
    assert Path(told["report"], "index.html").is_file()
    assert told["unavailable"] == ["kommune-013"]

    second = afstem("run", "--as-of", "2026-11-23", cwd=workspace)
    assert second.returncode == 3  # the refused extracts are refused again
    assert "already-applied" in second.stdout
    assert "--release jobcenter-01200-" in second.stdout  # and what is held is held again

    good = afstem("run", "--as-of", "2026-11-23", "--actor", "star", cwd=workspace)
    assert good.returncode == 0
    assert "nothing new" in good.stdout

    runs = json.loads(afstem("runs", "--json", cwd=workspace).stdout)["runs"]
    assert [run["outcomes"]["applied"] for run in runs] == [0, 0, told["outcomes"]["applied"]]
    assert [run["outcomes"]["held"] for run in runs] == [0, 200, 200]
    shown = json.loads(afstem("show", told["run_id"], "--json", cwd=workspace).stdout)
    assert shown == told
    assert "applied" in afstem("show", "latest", cwd=workspace).stdout


def test_explain_and_check(workspace: Path) -> None:
    explained = afstem("explain", "9155", cwd=workspace)
    assert explained.returncode == 0
    assert "Email adresse kan ikke fjernes sålænge" in explained.stdout
    assert afstem("explain", "9999", cwd=workspace).returncode == 2

    folder = workspace / "extracts" / "jobcenter-01300"
    checked = afstem("check", folder / "kontaktdata.csv", "--json", cwd=workspace)
    assert checked.returncode == 0
    told = json.loads(checked.stdout)
    assert told["records"] > 100
    assert not {"1010", "4575", "4405", "9155"} & set(told["findings"])
    refused = afstem("check", folder / "halvt-afsendt.csv.gz", cwd=workspace)
    assert refused.returncode == 3
    assert "1014" in refused.stdout
    assert afstem("check", "nowhere.csv", cwd=workspace).returncode == 2
    assert afstem("check", "actors.toml", cwd=workspace).returncode == 2


def test_sample_writes_a_workspace_that_runs(tmp_path: Path) -> None:
    made = afstem("sample", "demo", "--citizens", "40", "--actors", "5", "--seed", "7", "--dirty", "0.2", cwd=tmp_path)
    assert made.returncode == 0
    assert afstem("sample", "demo", cwd=tmp_path).returncode == 2  # not into a folder that holds something
    assert afstem("reference", "load", "reference", cwd=tmp_path / "demo").returncode == 0
    assert afstem("run", cwd=tmp_path / "demo").returncode in (0, 3)


TROUBLE = {
    "no configuration": (lambda folder: (folder / "afstem.toml").unlink(), "afstem.toml"),
    "unknown key": (lambda folder: change(folder, "[run]", "[run]\nzone = 1"), "run.zone: unknown key"),
    "wrong type": (lambda folder: hold(folder, "volume_drop = true"), "hold.volume_drop"),
    "a share above all": (lambda folder: hold(folder, "removal_share = 1.01"), "hold.removal_share"),
    "a share below none": (lambda folder: hold(folder, "volume_drop = -0.1"), "hold.volume_drop"),
    "a share that is no number": (lambda folder: hold(folder, "rejected_share = nan"), "hold.rejected_share"),
    "half a record": (lambda folder: hold(folder, "min_records = 99.5"), "hold.min_records"),
    "fewer than none": (lambda folder: hold(folder, "min_records = -1"), "hold.min_records"),
    "another limit": (lambda folder: hold(folder, "removals = 1"), "hold.removals: unknown key"),
    "a zone that is a folder": (lambda folder: change(folder, "Europe/Copenhagen", "Europe"), "run.timezone"),
    "landing in a file": (lambda folder: change(folder, "var/landing", "actors.toml"), "paths.landing"),
    "reports in a file": (lambda folder: change(folder, '"reports"', '"actors.toml"'), "paths.reports"),
    "no such zone": (lambda folder: change(folder, "Europe/Copenhagen", "Europe/Atlantis"), "run.timezone"),
    "not TOML": (lambda folder: change(folder, "[run]", "[run"), "afstem.toml"),
    "no actors": (lambda folder: (folder / "actors.toml").unlink(), "actors.toml"),
    "actor of no type": (lambda folder: change(folder, '"star"', '"stjerne"', "actors.toml"), "type"),
    "actor twice": (lambda folder: change(folder, "jobcenter-01200", "jobcenter-01100", "actors.toml"), "twice"),
    "manifest": (lambda folder: change(folder, "priority = 10\n", 'login = "manifest"\n', "actors.toml"), "login"),
    "remote source": (lambda folder: change(folder, '"extracts/star"', '"gopher://h/x"', "actors.toml"), "source"),
    "another database": (lambda folder: change(folder, "sqlite:///", "mysql://"), "store.url"),
    "no such codelist": (lambda folder: change(folder, "[paths]", '[paths]\ncodelist = "x.toml"'), "x.toml"),
}  # fmt: skip


def hold(workspace: Path, limit: str) -> None:
    change(workspace, "[run]", f"[hold]\n{limit}\n[run]")


def change(workspace: Path, old: str, new: str, name: str = "afstem.toml") -> None:
    text = (workspace / name).read_text()
    assert old in text
    (workspace / name).write_text(text.replace(old, new))


@pytest.mark.parametrize("trouble", TROUBLE)
def test_wrong_configuration_is_one_clear_line(
    trouble: str, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, named = TROUBLE[trouble]
    spoil(workspace)
    code, stdout, stderr = in_process("run", cwd=workspace, capsys=capsys, monkeypatch=monkeypatch)
    assert (code, stdout) == (2, "")
    [line] = stderr.splitlines()
    assert named in line


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--as-of", "tomorrow"],
        ["run", "--actor", "nobody"],
        ["run", "--release", "star-0"],
        ["run", "--no-such-option"],
        ["show", "20260101T000000Z-abcdef"],
        ["reference", "load", "nowhere"],
        ["reference"],
        ["dance"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(
    words: list[str], workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, stderr = in_process(*words, cwd=workspace, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert stderr
    assert "Traceback" not in stderr


def test_the_environment_overrides_the_file(workspace: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    done = afstem("run", "--json", cwd=workspace, AFSTEM_PATHS__REPORTS=str(elsewhere), AFSTEM_HOLD__MIN_RECORDS="5")
    assert done.returncode == 3
    assert Path(json.loads(done.stdout)["report"]).parent == elsewhere
    wrong = afstem("run", cwd=workspace, AFSTEM_HOLD__MIN_RECORDS="many")
    assert wrong.returncode == 2
    assert "AFSTEM_HOLD__MIN_RECORDS" in wrong.stderr
    too_much = afstem("run", cwd=workspace, AFSTEM_HOLD__VOLUME_DROP="1.5")
    assert too_much.returncode == 2
    [line] = too_much.stderr.splitlines()
    assert "AFSTEM_HOLD__VOLUME_DROP: hold.volume_drop" in line
    unknown = afstem("run", cwd=workspace, AFSTEM_STORE__COLOUR="red")
    assert unknown.returncode == 2


def test_the_second_of_two_runs_at_once_waits(workspace: Path) -> None:
    afstem("reference", "load", "reference", cwd=workspace)
    command = [sys.executable, "-m", "afstem", "run", "--as-of", "2026-11-23", "--json"]
    both = [
        subprocess.Popen(command, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    applied = []
    for process in both:
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 3, stderr
        applied.append(json.loads(stdout)["outcomes"]["applied"])
    assert min(applied) == 0
    assert max(applied) > 1000


def test_a_run_that_is_killed_is_made_good_by_the_next(workspace: Path) -> None:
    afstem("reference", "load", "reference", cwd=workspace)
    command = [sys.executable, "-m", "afstem", "run", "--as-of", "2026-11-23"]
    for seconds in (0.9, 1.3, 1.7, 2.1):
        process = subprocess.Popen(command, cwd=workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    afstem("run", "--as-of", "2026-11-23", cwd=workspace)
    runs = json.loads(afstem("runs", "--json", cwd=workspace).stdout)["runs"]
    [applied] = [run for run in runs if run["outcomes"]["applied"]]
    assert applied["records"] == 3844


def test_what_is_done_is_done_though_nobody_can_be_told() -> None:
    """Exit code 1 would say that nothing was changed."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "afstem", "explain", "9155"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 0
    assert done.stderr.decode() == (
        "afstem: this was done, but standard output cannot be written: No space left on device\n"
    )
