"""A run is atomic, its numbers agree wherever they stand, and its files can be read with anybody's tools."""

import html
import json
import os
import re
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
from report_numbers import read_page
from test_sample_data import SAMPLE_DATA
from whole_run import AS_OF, load_and_run, read_store, run_again, what_happened

from afstem import pipeline, taking_in
from afstem.errors import LoginRefused
from afstem.report import publication
from afstem.report.history import past_runs
from afstem.settings import load_settings
from afstem.sources import local


def copy_of_sample_data(folder: Path) -> Path:
    shutil.copytree(SAMPLE_DATA, folder / "workspace", ignore=shutil.ignore_patterns("var", "reports"))
    return folder / "workspace"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return copy_of_sample_data(tmp_path)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return load_and_run(copy_of_sample_data(tmp_path_factory.mktemp("numbers")))


# --- the numbers ----------------------------------------------------------------------------------------------------


def test_manifest_outcomes_rejections_receipts_and_pages_agree(summary: dict[str, Any]) -> None:
    report = Path(summary["report"])
    manifest = json.loads((report / "run.json").read_text())
    outcomes = ds.dataset(report / "outcomes").to_table().to_pandas()
    rejections = ds.dataset(report / "rejections", partitioning="hive").to_table().to_pandas()
    receipts = [json.loads(path.read_text()) for path in report.glob("receipts/*/receipt.json")]

    assert len(outcomes) == manifest["records"] == sum(receipt["records"] for receipt in receipts)
    counted = {name: int((outcomes["outcome"] == name).sum()) for name in manifest["outcomes"]}
    assert counted == manifest["outcomes"]
    assert {name: sum(receipt["outcomes"][name] for receipt in receipts) for name in counted} == counted
    findings = {str(code): int(count) for code, count in rejections["code"].value_counts().items() if count}
    assert findings == manifest["findings"]
    primary = outcomes.dropna(subset="primary_code").groupby(["actor", "primary_code"]).size()
    by_record = rejections[rejections["is_primary"] & rejections["record_no"].notna()]
    assert primary.to_dict() == by_record.groupby(["actor", by_record["code"].astype(int)]).size().to_dict()

    for language in ("index.html", "index.en.html"):
        page = read_page(report / language)
        assert page["records"] == manifest["records"]
        assert {name: page[name] for name in counted} == counted
        assert {code: page[f"code.{code}.findings"] for code in findings} == findings
        of_pair = rejections.groupby(["actor", "code"], observed=True).size().to_dict()
        assert {pair: page["actor.{}.findings.{}".format(*pair)] for pair in of_pair} == of_pair
        for row in manifest["balance"]:
            scope = f"actor.{row['actor']}.{row['contact_type'] or 'none'}"
            assert {name: page[f"{scope}.{name}"] for name in ("records", *counted)} == {
                name: row[name] for name in ("records", *counted)
            }
    for page, code in ((report / "codes" / f"{code}.html", code) for code in findings):
        assert read_page(page)[f"code.{code}.findings"] == findings[code]


def test_rejections_read_with_pandas_duckdb_and_polars(summary: dict[str, Any]) -> None:
    folder = Path(summary["report"]) / "rejections"
    total = sum(summary["findings"].values())
    by_pandas = pd.read_parquet(folder)
    by_polars = pl.read_parquet(folder)
    counted = duckdb.sql(f"SELECT code, count(*) FROM '{folder}/*/*.parquet' GROUP BY code").fetchall()
    assert len(by_pandas) == len(by_polars) == sum(count for _, count in counted) == total
    assert {str(code): count for code, count in counted} == summary["findings"]
    columns = (
        "run_id actor actor_type extract extract_id record_no reference cpr_masked cpr_token contact_type value "
        "is_primary reason suggestion first_seen_run runs_seen code"
    )
    assert list(by_pandas.columns) == by_polars.columns == columns.split()


def test_a_run_without_a_finding_leaves_a_dataset_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text("")
    (tmp_path / "afstem.toml").write_text("")
    summary = run_again(tmp_path)
    assert len(pd.read_parquet(Path(summary["report"]) / "rejections")) == 0
    assert summary["status"] == "completed"


def test_only_their_owner_can_read_what_is_personal(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        summary = load_and_run(copy_of_sample_data(tmp_path))
    finally:
        os.umask(before)
    workspace = tmp_path / "workspace"
    receipts = Path(summary["report"]) / "receipts"
    private = [workspace / "var", receipts, *(workspace / "var").rglob("*"), *receipts.rglob("*")]
    assert len(private) > 40
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_no_citizen_and_no_accepted_value_stands_in_what_others_read(summary: dict[str, Any]) -> None:
    """Pages, manifest and Parquet, decoded; file names too. The receipts are the control: there they stand."""
    report = Path(summary["report"])
    numbers, values = personal_in(report.parents[1])

    def found_in(texts: list[str]) -> tuple[set[str], set[str]]:
        text = "\n".join(texts)
        digits = {match.replace("-", "") for match in re.findall(r"(?=(\d{6}-?\d{4}))", text)}
        return digits & numbers, set(re.findall(r"[\w.+-]+@[\w.-]+|\+\d{8,}", text)) & values

    files = [path for path in report.parent.rglob("*") if path.is_file()]
    public = [path for path in files if "receipts" not in path.parts]
    tables = [ds.dataset(path).to_table().to_pylist() for path in public if path.suffix == ".parquet"]
    pages = [html.unescape(path.read_text()) for path in public if path.suffix in (".html", ".json")]
    assert found_in([str(path) for path in files] + pages + [json.dumps(tables)]) == (set(), set())
    receipts = [path.read_bytes().decode("latin-1") for path in files if "receipts" in path.parts]
    assert all(found_in(receipts))


def personal_in(workspace: Path) -> tuple[set[str], set[str]]:
    """The CPR numbers and the stored contact values of a workspace."""
    lines = (workspace / "reference" / "citizens.csv").read_text().splitlines()
    numbers = {line.partition(";")[0] for line in lines[1:]}
    with sqlite3.connect(workspace / "var" / "afstem.db") as store:
        values = {value for (value,) in store.execute("SELECT value FROM contacts WHERE value IS NOT NULL")}
    return numbers, values


# --- finding memory -------------------------------------------------------------------------------------------------


def test_a_finding_that_comes_back_is_remembered(workspace: Path) -> None:
    first = load_and_run(workspace)
    extract = workspace / "extracts" / "jobcenter-01100" / "kontaktdata.csv"
    extract.write_bytes(extract.read_bytes() + b"\r\n")  # another file with the same records
    second = run_again(workspace)
    rejections = pd.read_parquet(Path(second["report"]) / "rejections")
    again = rejections[rejections["actor"].eq("jobcenter-01100") & rejections["cpr_token"].notna()]
    assert len(again) > 10
    assert set(again["first_seen_run"]) == {first["run_id"]}
    assert set(again["runs_seen"]) == {2}


# --- atomic ---------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and nothing of the program runs after it."""


STEPS_BEFORE_THE_COMMIT = ["take_in", "reconcile", "begin_report", "apply"]


@pytest.mark.parametrize("step", STEPS_BEFORE_THE_COMMIT)
def test_a_run_that_dies_before_the_commit_changes_nothing(
    step: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    before = read_store(workspace)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, step, die)
        patched.setattr(pipeline, "set_aside", die)
        with pytest.raises(Killed):
            run_again(workspace)
    assert read_store(workspace) == before
    assert not list((workspace / "reports").glob("2*"))
    happened = what_happened(workspace, run_again(workspace))
    assert len(happened.records) > 3000
    left = [path.name for path in (workspace / "reports").iterdir() if path.name.startswith(".")]
    assert left == []
    assert list((workspace / "var" / "landing" / ".runs").iterdir()) == []


@pytest.mark.parametrize("lost", ["nothing", "report", "staging"])
def test_a_run_that_dies_after_the_commit_is_published_by_the_next(
    lost: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = what_happened(tmp_path / "other" / "workspace", load_and_run(copy_of_sample_data(tmp_path / "other")))
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "publish", die)
        with pytest.raises(Killed):
            run_again(workspace)
    reports = load_settings(workspace / "afstem.toml").reports
    assert not list(reports.glob("2*"))
    if lost == "report":
        for folder in reports.glob(f"{publication.PREPARED}*"):
            shutil.rmtree(folder)
    if lost == "staging":  # a power cut may take it
        shutil.rmtree(workspace / "var" / "landing" / ".runs")
    after_the_commit = read_store(workspace)
    second = run_again(workspace)
    assert read_store(workspace) == after_the_commit
    assert second["outcomes"]["applied"] == 0
    [run_id] = {run.run_id for run in past_runs(reports)} - {second["run_id"]}
    recovered = what_happened(workspace, pipeline.summarise_run(publication.manifest_of(reports, run_id), reports))
    assert recovered.records == undisturbed.records
    assert recovered.extracts == undisturbed.extracts
    assert recovered.history == undisturbed.history


def test_an_applied_run_whose_report_is_lost_for_good_stops_no_other(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "publish", die)
        with pytest.raises(Killed):
            run_again(workspace)
    shutil.rmtree(workspace / "var" / "landing" / ".runs")
    shutil.rmtree(workspace / "reports")
    summary = run_again(workspace)
    assert {extract["state"] for extract in summary["extracts"]} == {"already-applied", "held", "refused"}
    assert "its report is lost" in caplog.text
    assert [run.run_id for run in past_runs(workspace / "reports")] == [summary["run_id"]]


def die(*_: object, **__: object) -> None:
    raise Killed


def test_a_history_page_that_cannot_be_written_undoes_nothing(workspace: Path) -> None:
    (workspace / "reports" / "index.html").mkdir(parents=True)
    damaged = workspace / "reports" / "20260101T000000Z-abcdef"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    summary = load_and_run(workspace)
    assert summary["outcomes"]["applied"] > 1000
    assert (Path(summary["report"]) / "index.html").is_file()


def test_odd_file_names_are_read_and_told_without_a_cpr_number(workspace: Path) -> None:
    source = workspace / "extracts" / "star"
    good = (source / "kontaktdata.jsonl").read_bytes()
    (source / "kontaktdata.jsonl").unlink()
    (Path(os.fsdecode(bytes(source) + b"/udtr\xe6k 02.03.90-1230.jsonl"))).write_bytes(good)
    half = workspace / "var" / "landing" / "star" / ".incoming.jsonl.abcd.tmp"  # as a kill leaves it
    half.parent.mkdir(parents=True)
    half.write_bytes(good[:100])
    summary = load_and_run(workspace)
    assert [extract["file"] for extract in summary["extracts"] if extract["actor"] == "star"] == [
        "udtr\\xe6k ##.##.##-####.jsonl"
    ]
    assert not half.exists()


def test_a_file_that_vanishes_makes_its_actor_unavailable(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = local._open

    def gone_from_star(path: Path) -> int:
        if path.parent.name == "star":
            raise FileNotFoundError(path)
        return opened(path)

    monkeypatch.setattr(local, "_open", gone_from_star)
    monkeypatch.setenv("AFSTEM_PULL__WAIT_SECONDS", "0.01")
    summary = load_and_run(workspace)
    assert set(summary["unavailable"]) == {"star", "kommune-013"}
    actors = json.loads((Path(summary["report"]) / "run.json").read_text())["actors"]
    assert {actor["id"]: actor["reason"] for actor in actors}["star"] == "changed-while-read"


def test_one_actors_bug_stops_no_other(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    judge = taking_in.validate_extract

    def broken_for_star(landed: Any, *rest: Any) -> Any:
        if landed.actor == "star":
            raise KeyError("0207901231")
        return judge(landed, *rest)

    monkeypatch.setattr(taking_in, "validate_extract", broken_for_star)
    summary = run_again(workspace)
    assert set(summary["unavailable"]) == {"star", "kommune-013"}
    assert summary["outcomes"]["applied"] > 1000
    assert "0207901231" not in (Path(summary["report"]) / "run.json").read_text()


def test_a_source_that_does_not_let_us_in_is_1012(
    workspace: Path, summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    pull = taking_in.pull

    def refused_for_star(actor: Any, *rest: Any) -> Any:
        if actor.id == "star":
            raise LoginRefused
        return pull(actor, *rest)

    monkeypatch.setattr(taking_in, "pull", refused_for_star)
    refused = run_again(workspace)
    assert refused["findings"]["1012"] == summary["findings"]["1012"] + 1
    [extract] = [extract for extract in refused["extracts"] if extract["actor"] == "star"]
    assert extract["state"] == "refused"
    assert "star" not in refused["unavailable"]
    rejections = pd.read_parquet(Path(refused["report"]) / "rejections")
    assert rejections[rejections["code"].eq(1012)]["actor"].tolist().count("star") == 1


# --- the same on PostgreSQL -----------------------------------------------------------------------------------------


def test_both_databases_come_to_the_same(
    store_url: str, workspace: Path, summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFSTEM_STORE__URL", store_url)
    happened = what_happened(workspace, load_and_run(workspace))
    assert {name: sum(record[4] == name for record in happened.records) for name in summary["outcomes"]} == summary[
        "outcomes"
    ]
    assert len(happened.history) == summary["outcomes"]["applied"]
    again = run_again(workspace)
    assert again["outcomes"]["held"] == summary["outcomes"]["held"] == 200
    assert again["records"] == 217
    assert read_store(workspace) == (happened.contacts, happened.history)


def test_as_of_decides(workspace: Path) -> None:
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    today = run_again(workspace, dry_run=True)
    past = pipeline.run(pipeline.Request(workspace / "afstem.toml", as_of=AS_OF.replace(year=1990), dry_run=True))
    assert past["findings"]["4575"] > today["findings"]["4575"] + 1000
