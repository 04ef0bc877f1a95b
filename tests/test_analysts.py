"""The page for analysts: its snippets are run over a real run, and pandas, DuckDB and SQLite agree on each answer."""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from whole_run import load_and_run, run_again

from afstem.report.notices import DATASET_SCHEMA
from afstem.report.rejections import REJECTION_SCHEMA
from afstem.sample import write_workspace
from afstem.schema import COLUMNS
from afstem.settlement import OUTCOME_SCHEMA

PAGE = (Path(__file__).parents[1] / "docs" / "analysts.md").read_text(encoding="utf-8")
BEGINNING, QUESTIONS = PAGE.split("## Ten questions\n")
DATASETS = {"outcomes": OUTCOME_SCHEMA, "rejections": REJECTION_SCHEMA, "notices": DATASET_SCHEMA}


def blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"```(python|sql)\n(.*?)```", text, re.DOTALL)


EXPECTED = dict(re.findall(r"### (\d+\. .*?)\n(.*?)(?=### |\Z)", QUESTIONS, re.DOTALL))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second of two nights: of it something was there before, something is new."""
    workspace = tmp_path_factory.mktemp("workspace")
    write_workspace(workspace, citizens=3_000, actors=12, dirty=0.2, seed=3)
    first = load_and_run(workspace)
    for folder in (workspace / "extracts").iterdir():
        for path in list(folder.glob("*.csv")):
            lines = path.read_bytes().splitlines(keepends=True)
            shutil.copy(path, path.with_name("igen.csv"))
            path.with_name("igen.csv").write_bytes(b"".join(lines[: 1 + len(lines) // 2]))
    second = run_again(workspace)
    assert second["run_id"] > first["run_id"]
    return Path(second["report"])


@pytest.fixture(scope="module")
def names(run: Path) -> Iterator[dict[str, Any]]:
    """What the page has made before its questions; ``run`` is the run."""
    made: dict[str, Any] = {}
    for kind, code in blocks(BEGINNING):
        assert kind == "python"
        exec(re.sub(r'(?m)^run = ".*"$', f"run = {str(run)!r}", code), made)
    yield made
    made["db"].close()


def test_there_are_ten_questions() -> None:
    assert [title.partition(".")[0] for title in EXPECTED] == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize("question", EXPECTED)
def test_all_three_give_the_same_answer(question: str, names: dict[str, Any]) -> None:
    *pandas, (kind, sql) = blocks(EXPECTED[question])
    assert kind == "sql"
    of_question = dict(names)
    for _, code in pandas:
        exec(code, of_question)
    answer = rows(of_question["answer"])
    assert len(answer) > 1
    assert list(of_question["answer"].columns) == names["db"].sql(sql).columns
    db: duckdb.DuckDBPyConnection = names["db"]
    assert answer == pytest.approx(plain(db.sql(sql).fetchall()))
    with sqlite3.connect(":memory:") as store:
        views = [name for (name,) in db.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()]
        for view in views:
            relation = db.sql(f"FROM {view}")
            store.execute(f"CREATE TABLE {view} ({', '.join(relation.columns)})")
            holes = ", ".join("?" * len(relation.columns))
            store.executemany(f"INSERT INTO {view} VALUES ({holes})", relation.fetchall())
        assert answer == pytest.approx(plain(store.execute(sql).fetchall()))
    store.close()


def rows(answer: pd.DataFrame) -> list[Any]:
    return plain(answer.astype(object).itertuples(index=False))


def plain(table: Any) -> list[Any]:
    """All cells, row by row; a code is a number, or the name of a notice."""
    return [
        None if cell is None or cell != cell else int(cell) if str(cell).isdecimal() else cell
        for row in table
        for cell in (*row, "|")
    ]


def test_every_column_of_a_run_is_described_in_its_files(run: Path) -> None:
    read = 0
    for name, schema in DATASETS.items():
        for path in run.glob(f"{name}/**/*.parquet"):
            found = pq.read_schema(path)
            assert found.equals(schema, check_metadata=False)
            texts = {field.name: field.metadata[b"description"].decode() for field in found}
            assert texts == {column: COLUMNS[column] for column in schema.names}
            assert json.loads(found.metadata[b"columns"]) == texts
            read += 1
        assert [field.metadata for field in ds.dataset(run / name).schema] == [field.metadata for field in schema]
    assert read > 10


def test_the_page_describes_every_column_as_the_files_do() -> None:
    told = {
        name: (where.split(", "), text)
        for name, where, text in re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| (.*) \|$", BEGINNING, re.MULTILINE)
    }
    assert told.pop("code")[0] == ["rejections", "notices"]  # which is the name of a folder
    assert told == {
        name: ([dataset for dataset, schema in DATASETS.items() if name in schema.names], text)
        for name, text in COLUMNS.items()
    }


def test_sql_reads_the_descriptions_too(run: Path) -> None:
    [path] = run.glob("rejections/code=9156/*.parquet")
    sql = f"SELECT decode(value) FROM parquet_kv_metadata('{path}') WHERE decode(key) = 'columns'"
    [(text,)] = duckdb.sql(sql).fetchall()
    assert json.loads(text)["cpr_token"] == COLUMNS["cpr_token"]
