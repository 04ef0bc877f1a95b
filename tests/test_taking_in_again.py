"""Taking in the same extract twice, half or too late adds nothing: Dask repeats what was lost, Prefect what failed."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_sample_data import copy_of_sample_data
from whole_run import AS_OF

from afstem import intake, pipeline, taking_in
from afstem.errors import InternalError
from afstem.private_files import read_json
from afstem.pull import LandedExtract, pull
from afstem.settings import load_actors
from afstem.under_way import Run
from afstem.workers import Workers


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = copy_of_sample_data(tmp_path_factory.mktemp("again") / "prepared")
    pipeline.load_reference(workspace / "afstem.toml", workspace / "reference")
    return workspace


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Iterator[Run]:
    workspace = shutil.copytree(prepared, tmp_path / "workspace")
    with pipeline.begin(pipeline.Request(workspace / "afstem.toml", AS_OF), Workers()) as begun:
        yield begun


def landed(run: Run, actor: str = "star") -> LandedExtract:
    [extract, *_] = pull(load_actors(run.settings)[actor], run.settings.landing, run.plan.started_at)
    assert isinstance(extract, LandedExtract)
    return extract


def staged(run: Run) -> dict[str, bytes]:
    """All that is staged, by path."""
    folder = run.folder.path
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def attempts(run: Run) -> list[Path]:
    return list((run.folder.path / "attempts").iterdir())


def test_the_second_time_gives_the_same_answer_and_reads_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = landed(run)
    first = taking_in.judge(run.folder.path, extract)
    assert first.records > 100
    before = staged(run)
    monkeypatch.setattr(intake, "_stage", None)
    assert taking_in.judge(run.folder.path, extract) == first
    assert staged(run) == before
    assert not attempts(run)


def test_of_two_at_the_same_time_one_stages_and_both_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    extract, stage = landed(run), intake._stage
    both = threading.Barrier(2, timeout=60)

    def together(*arguments: Any) -> Any:
        both.wait()
        summary = stage(*arguments)
        both.wait()
        return summary

    monkeypatch.setattr(intake, "_stage", together)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: taking_in.judge(run.folder.path, extract), range(2)))
    assert answers[0] == answers[1]
    names = {name for name in staged(run) if name.startswith("extracts/")}
    assert names == {
        f"extracts/{extract.extract_id}/{name}"
        for name in ("accepted.arrow", "rejected.arrow", "findings.arrow", "notices.arrow", "summary.json")
    }
    assert not attempts(run)


def test_a_half_attempt_is_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = landed(run)
    with monkeypatch.context() as patched:
        patched.setattr(intake, "check_physical_records", lambda *_: 1 / 0)  # when all is written but the answer
        with pytest.raises(InternalError):
            taking_in.judge(run.folder.path, extract)
    assert len(attempts(run)) == 1
    assert not run.folder.extract(extract.extract_id).exists()
    summary = taking_in.judge(run.folder.path, extract)
    kept = read_json(run.folder.extract(extract.extract_id) / "summary.json")
    assert intake.ExtractSummary.from_json(kept) == summary


def test_a_refused_extract_leaves_nothing_however_often(run: Run) -> None:
    extract = landed(run, "kommune-012")
    assert extract.path.suffix == ".parquet"
    extract.path.write_bytes(b"PAR1, and no more")
    first = taking_in.judge(run.folder.path, extract)
    assert (first.state, first.code) == ("refused", 1014)
    assert taking_in.judge(run.folder.path, extract) == first
    assert not attempts(run)
    assert not list((run.folder.path / "extracts").iterdir())


def test_an_attempt_that_comes_when_the_run_is_over_makes_no_folder(run: Run) -> None:
    extract = landed(run)
    run.folder.remove()
    with pytest.raises(InternalError):
        taking_in.judge(run.folder.path, extract)
    assert not run.folder.path.exists()


def test_what_another_machine_stages_is_on_disk_before_it_has_its_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afstem import staging

    synced: list[tuple[str, bool]] = []
    place = run.folder.extract(landed(run).extract_id)
    monkeypatch.setattr(staging, "sync", lambda path: synced.append((path.name, place.exists())))
    intake.validate_extract(
        landed(run), run.actors["star"], run.terms(run.actors["star"]), run.token_key, run.folder, lasting=True
    )
    *before, attempt, names = synced
    assert {name for name, _ in before} == {path.name for path in place.iterdir()}
    assert not any(there for _, there in before)
    assert (attempt[1], names) == (False, ("extracts", True))


def test_a_run_that_takes_everything_in_twice_comes_to_the_same(run: Run) -> None:
    for actor in sorted(set(run.actors) - {"kommune-013"}):
        taking_in.take_in(run, actor)
    before = staged(run)
    assert any(name.startswith("memory/") for name in before)
    for actor in sorted(set(run.actors) - {"kommune-013"}):
        taking_in.take_in(run, actor)
    assert staged(run) == before
    pipeline.reconcile(run)
    pipeline.prepare_report(run)
    pipeline.apply(run)
    pipeline.publish(run)
    assert not run.folder.path.exists()
