"""The two sides of a whole run: the program, and the script in pandas and SQLAlchemy.

A side has states: what its store holds after loading, after a first night, and so on. A measured run takes a copy of
one, so that every round begins at the same place.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.measure import Measured, measure
from benchmarks.nights import AS_OF, Program


class Side(Protocol):
    """Loads, runs, and says what came of it. States are folders or databases, told by a name."""

    @property
    def name(self) -> str: ...

    def load(self, workspace: Path, state: str) -> Measured: ...

    def copy(self, state: str, to: str) -> None: ...

    def wake(self, workspace: Path, state: str) -> None: ...

    def run(self, workspace: Path, reference: Path, state: str, *, watched: bool = False) -> Measured: ...


@dataclass(frozen=True)
class Afstem:
    """The program over SQLite, or over a PostgreSQL server if one is given."""

    folder: Path
    program: Program = field(default_factory=Program)
    server: str | None = None
    name: str = "afstem"

    def load(self, workspace: Path, state: str) -> Measured:
        self._begin(state)
        return self._measure(workspace, state, "reference", "load", workspace / "reference")

    def copy(self, state: str, to: str) -> None:
        shutil.rmtree(self.folder / to, ignore_errors=True)
        shutil.copytree(self.folder / state, self.folder / to)
        if self.server:
            self._recreate(to, template=state)
        os.sync()  # else the copy is still being written while the run is timed

    def wake(self, workspace: Path, state: str) -> None:
        """Have libraries and data in memory again, which the kernel let go when the other side took its gigabytes."""
        self._measure(workspace, state, "run", "--as-of", AS_OF, "--dry-run")

    def run(self, workspace: Path, reference: Path, state: str, *, watched: bool = False) -> Measured:
        return self._measure(workspace, state, "run", "--as-of", AS_OF, "--json", watched=watched)

    def database(self, state: str) -> Path:
        return self.folder / state / "afstem.db"

    def _measure(self, workspace: Path, state: str, *words: str | Path, watched: bool = False) -> Measured:
        command = self.program.command("-v", *words, "--config", workspace / "afstem.toml")
        environment = {**self.program.environment, **self._settings(state)}
        return measure(command, environment=environment, watched=watched)

    def _settings(self, state: str) -> Mapping[str, str]:
        folder = self.folder / state
        url = f"sqlite:///{self.database(state)}"
        if self.server:
            url = make_url(self.server).set(drivername="postgresql+psycopg", database=state).render_as_string(False)
        return {
            "AFSTEM_STORE__URL": url,
            "AFSTEM_PATHS__LANDING": str(folder / "landing"),
            "AFSTEM_PATHS__REPORTS": str(folder / "reports"),
        }

    def _begin(self, state: str) -> None:
        shutil.rmtree(self.folder / state, ignore_errors=True)
        (self.folder / state).mkdir(parents=True)
        if self.server:
            self._recreate(state)

    def _recreate(self, state: str, template: str = "template1") -> None:
        with psycopg.connect(self.server or "", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{state}"'.encode())
            connection.execute(f'CREATE DATABASE "{state}" TEMPLATE "{template}"'.encode())
            connection.execute("CHECKPOINT")


@dataclass(frozen=True)
class Script:
    """`baselines.pandas_sqlalchemy` over SQLite."""

    folder: Path
    name: str = "pandas + SQLAlchemy"

    def load(self, workspace: Path, state: str) -> Measured:
        shutil.rmtree(self.folder / state, ignore_errors=True)
        return self._measure("load", workspace, self.folder / state)

    def copy(self, state: str, to: str) -> None:
        shutil.rmtree(self.folder / to, ignore_errors=True)
        shutil.copytree(self.folder / state, self.folder / to)
        os.sync()

    def wake(self, workspace: Path, state: str) -> None:
        """Nothing: what must be read again is a hundredth of its time."""

    def run(self, workspace: Path, reference: Path, state: str, *, watched: bool = False) -> Measured:
        extracts = ("--extracts", workspace / "extracts")
        return self._measure("run", reference, self.folder / state, *extracts, "--as-of", AS_OF, watched=watched)

    def database(self, state: str) -> Path:
        return self.folder / state / "contacts.db"

    @staticmethod
    def _measure(*words: str | Path, watched: bool = False) -> Measured:
        root = Path(__file__).parents[1]
        module = "benchmarks.baselines.pandas_sqlalchemy"
        return measure([sys.executable, "-m", module, *words], cwd=root, watched=watched)


def told(measured: Measured) -> dict[str, Any]:
    """Records, outcomes, findings and notices of a run, zeros left out."""
    summary = json.loads(measured.stdout)
    return {
        "records": summary["records"],
        "outcomes": {name: count for name, count in sorted(summary["outcomes"].items()) if count},
        "findings": {code: count for code, count in sorted(summary["findings"].items()) if count},
        "notices": {code: count for code, count in sorted(summary["notices"].items()) if count},
    }
