"""A dry run leaves everything as it is but for its report, and foretells exactly what a real run then does."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import sqlalchemy as sa
from report_numbers import parse_page, read_page
from test_sample_data import SAMPLE_DATA
from whole_run import read_store, run_again

from afstem import pipeline
from afstem.report.history import past_runs
from afstem.settings import load_settings
from afstem.store import Store


def copy_of_sample_data(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("var", "reports")
    return Path(shutil.copytree(SAMPLE_DATA, folder / "workspace", ignore=ignored))


@pytest.fixture
def workspace(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample, its reference data loaded, on SQLite and on PostgreSQL."""
    folder = copy_of_sample_data(tmp_path)
    monkeypatch.setenv("AFSTEM_STORE__URL", store_url)
    pipeline.load_reference(folder / "afstem.toml", folder / "reference")
    return folder


def everything_kept(workspace: Path) -> dict[str, Any]:
    """All that a run could leave behind but for reports: every table, every counter of the database, every file."""
    settings = load_settings(workspace / "afstem.toml")
    engine = sa.create_engine(settings.store_url, poolclass=sa.NullPool)
    kept: dict[str, Any] = {}
    with engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        for name in names:
            kept[name] = sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {name}")).all()))
        if engine.dialect.name == "postgresql":
            kept["numbers"] = connection.execute(
                sa.text("SELECT last_value, is_called FROM history_rows_history_no_seq")
            ).all()
    folders = [settings.landing]
    if engine.dialect.name == "sqlite":
        folders.append(Path(engine.url.database or "").parent)
    for path in sorted(
        path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    ):
        kept[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(names) > 8
    return kept


def told(summary: dict[str, Any]) -> dict[str, Any]:
    """What a run says in every file of its report, but for its name, its times and that it was dry."""
    report = Path(summary["report"])
    manifest = json.loads((report / "run.json").read_text())
    of_the_run = ("run_id", "started_at", "finished_at", "dry_run", "previous", "files")
    rejections = ds.dataset(report / "rejections", partitioning="hive").to_table().drop_columns(["run_id"])
    first_seen_now = [seen == manifest["run_id"] for seen in rejections["first_seen_run"].to_pylist()]
    return {
        "manifest": {name: part for name, part in manifest.items() if name not in (*of_the_run, "extracts")},
        "extracts": [
            {name: part for name, part in extract.items() if name != "created_at"} for extract in manifest["extracts"]
        ],
        "outcomes": sorted(map(str, ds.dataset(report / "outcomes").to_table().to_pylist())),
        "rejections": sorted(map(str, rejections.drop_columns(["first_seen_run"]).to_pylist())),
        "first seen now": sum(first_seen_now),
        "receipts": {path.parent.name: path.read_bytes() for path in report.glob("receipts/*/rejected.csv")},
    }


def test_a_dry_run_leaves_everything_as_it_is_and_foretells_the_real_one(workspace: Path) -> None:
    before = everything_kept(workspace)
    dry = run_again(workspace, dry_run=True)
    assert everything_kept(workspace) == before
    assert sum(dry["changes"].values()) == dry["outcomes"]["applied"] > 1000
    real = run_again(workspace)
    assert told(real) == told(dry)
    assert everything_kept(workspace) != before  # the control: this is how a run is noticed

    # The second night: a held extract to be released, and one that the actor has mended.
    (held,) = [extract["id"] for extract in real["extracts"] if extract["state"] == "held"]
    shutil.copy(Path(real["report"]) / "receipts" / "star" / "rejected.csv", workspace / "extracts" / "star")
    before = everything_kept(workspace)
    dry = run_again(workspace, dry_run=True, release=(held,))
    assert everything_kept(workspace) == before
    assert run_again(workspace, dry_run=True)["outcomes"]["held"] == 200  # it is not released by a dry run
    real = run_again(workspace, release=(held,))
    assert told(real) == told(dry)
    assert real["changes"]["removed"] > 20


def test_a_real_run_is_the_same_with_or_without_a_dry_one_before_it(tmp_path: Path) -> None:
    with_one, without = (copy_of_sample_data(tmp_path / name) for name in ("with", "without"))
    for folder in (with_one, without):
        pipeline.load_reference(folder / "afstem.toml", folder / "reference")
    run_again(with_one, dry_run=True)
    real, alone = run_again(with_one), run_again(without)
    assert real["outcomes"] == alone["outcomes"]
    assert read_store(with_one)[1] == read_store(without)[1]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_report_of_a_dry_run_says_so_and_shows_what_would_change(workspace: Path) -> None:
    dry = run_again(workspace, dry_run=True)
    real = run_again(workspace)
    for language, said in (("", "Prøvekørsel"), (".en", "Dry run")):
        page = Path(dry["report"]) / f"index{language}.html"
        text = "".join(parse_page(page).text)
        assert said in text[: text.index("SHA-256")]
        numbers = read_page(page)
        assert {name: numbers[f"changes.{name}"] for name in dry["changes"]} == dry["changes"]
        manifest = json.loads((Path(dry["report"]) / "run.json").read_text())
        for row in manifest["changes"]:
            scope = f"actor.{row['actor']}.{row['contact_type']}"
            assert {name: numbers[f"{scope}.{name}"] for name in dry["changes"]} == {
                name: row[name] for name in dry["changes"]
            }
        pages = [page for page in Path(dry["report"]).rglob("*.html") if page.stem.endswith(".en") == bool(language)]
        assert all(said in "".join(parse_page(page).text) for page in pages)
        assert said not in "".join(parse_page(Path(real["report"]) / f"index{language}.html").text)
    assert [(run.run_id, run.dry_run) for run in past_runs(workspace / "reports")] == [
        (real["run_id"], False),
        (dry["run_id"], True),
    ]
    history = "".join(parse_page(workspace / "reports" / "index.html").text)
    assert history.count("prøvekørsel") == 1
    receipts = list(Path(dry["report"]).glob("receipts/*/receipt.json"))
    assert receipts
    assert all(json.loads(path.read_text())["dry_run"] for path in receipts)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_dry_run_leaves_a_run_that_was_interrupted_to_the_next_real_one(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "publish", die)
        with pytest.raises(Killed):
            run_again(workspace)
    before = everything_kept(workspace)
    dry = run_again(workspace, dry_run=True)
    assert dry["outcomes"]["applied"] == 0  # what was committed counts
    assert everything_kept(workspace) == before
    store = Store.open(load_settings(workspace / "afstem.toml").store_url)
    assert len(store.unpublished_runs()) == 1
    run_again(workspace)
    assert store.unpublished_runs() == []
    assert len(past_runs(workspace / "reports")) == 3
