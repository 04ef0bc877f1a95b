"""What a command imports: a person who asks for help does not wait for libraries that the answer does not need."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_sample_data import SAMPLE_DATA

HEAVY = {
    "alembic",
    "babel",
    "dask",
    "distributed",
    "jinja2",
    "numpy",
    "pandas",
    "phonenumbers",
    "prefect",
    "psycopg",
    "pyarrow",
    "pydantic",
    "rich",
    "sqlalchemy",
}

AFTER = """
import json, sys
try:
    {statement}
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def heavy_after(statement: str, *words: str, cwd: Path) -> set[str]:
    """The heavy modules that a new interpreter has imported after a statement; ``words`` is its command line."""
    command = [sys.executable, "-c", AFTER.format(statement=statement), *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=True)
    return HEAVY & set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["run", "--help"], ["sample", "--help"], ["explain", "9155"], ["explain", "0"]],
    ids=" ".join,
)
def test_what_needs_no_record_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    assert heavy_after("from afstem.cli import main; main()", *words, cwd=tmp_path) == set()


def test_the_steps_of_a_run_import_only_what_every_run_needs(tmp_path: Path) -> None:
    statement = "from afstem.arrow_set_up import set_up_arrow; set_up_arrow(); import afstem.pipeline"
    waited_for = heavy_after(statement, cwd=tmp_path)
    assert waited_for == {"numpy", "phonenumbers", "pyarrow", "pydantic", "sqlalchemy"}


def test_no_command_imports_prefect_pandas_or_dask(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE_DATA, tmp_path / "work", ignore=shutil.ignore_patterns("var", "reports"))
    for words in (
        ("reference", "load", "reference"),
        ("run", "--as-of", "2026-11-23"),
        ("runs",),
        ("check", "extracts/jobcenter-01300/kontaktdata.csv"),
    ):
        imported = heavy_after("from afstem.cli import main; main()", *words, cwd=tmp_path / "work")
        assert "pyarrow" in imported or words == ("runs",)
        assert not imported & {"dask", "distributed", "pandas", "prefect"}, words
