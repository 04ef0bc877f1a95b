"""Extracts with changed bytes are read or refused within limits, and what is read is what stands in them."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from afstem.errors import WorkerDied
from afstem.workers import Workers, workers
from faults import mutants
from faults.watched import GIBIBYTE, Watched, watch


@pytest.fixture(scope="module")
def beside() -> Iterator[Workers]:
    with workers(1, "forkserver") as beside:
        yield beside


def judge_mutants(beside: Workers, folder: Path, name: str, numbers: range) -> list[Watched]:
    """Judge so many mutants of one extract; those that are read are held against the reference as well."""
    found = []
    for number in numbers:
        file = folder / name
        file.write_bytes(mutants.mutant(name, number))
        watched = watch(beside, file)
        assert not watched.failed, f"{name} {number}: {watched}"
        assert watched.peak_bytes < GIBIBYTE, f"{name} {number}: {watched}"
        if watched.verdict == "read":
            assert not differs(beside, file), f"{name} {number} is read otherwise than by the reference"
        found.append(watched)
    return found


def differs(beside: Workers, file: Path) -> bool:
    try:
        return beside.call(mutants.differs_from_the_reference, file)
    except WorkerDied:  # the reference reads without limits, so it may break where the program refuses
        return False


@pytest.mark.parametrize("name", mutants.SEEDS)
def test_a_few_mutants_of_each_format(beside: Workers, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(mutants.seed(name))
    whole = watch(beside, tmp_path / name)
    assert (whole.verdict, whole.records) == ("read", mutants.ROWS - (name.startswith("json") and 1))
    assert not differs(beside, tmp_path / name)
    found = judge_mutants(beside, tmp_path, name, range(20))
    assert any((one.verdict, one.records) != ("read", whole.records) for one in found), "nothing was changed"


@pytest.mark.soak
@pytest.mark.parametrize("name", mutants.SEEDS)
def test_thousands_of_mutants_of_each_format(beside: Workers, tmp_path: Path, name: str) -> None:
    found = judge_mutants(beside, tmp_path, name, range(2000))
    slowest, largest = (max(getattr(one, key) for one in found) for key in ("cpu_seconds", "peak_bytes"))
    print(f"{name}: {len(found)} mutants, {dict(Counter(one.verdict for one in found))}")
    print(f"slowest {slowest:.2f} s CPU, largest {largest / 2**20:.0f} MiB")


READ_AT_A_STROKE: dict[str, Callable[[Path], object]] = {
    "csv.csv": lambda file: pd.read_csv(file, sep=";", dtype=str),
    "json.jsonl": lambda file: pd.read_json(file, lines=True),
    "plain.parquet": lambda file: pq.read_table(file).to_pylist(),
}


@pytest.mark.parametrize("name", READ_AT_A_STROKE)
def test_control_a_reader_that_trusts_the_file_breaks(beside: Workers, tmp_path: Path, name: str) -> None:
    """Files that are read here, but for a record or two, are lost as a whole to whoever reads them at a stroke."""
    lost = 0
    for number in range(100):
        file = tmp_path / name
        file.write_bytes(mutants.mutant(name, number))
        if watch(beside, file).verdict == "read":
            try:
                READ_AT_A_STROKE[name](file)
            except Exception:  # noqa: BLE001 - whatever a library raises is a night without this actor
                lost += 1
    print(f"{name}: {lost} of 100 lost")
    assert lost
