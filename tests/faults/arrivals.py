"""What actors say, how it arrives, and what the store must hold: slow and obvious, from SPEC 5.3.

A workspace with four actors who may write to everybody, and a clock that the test moves. Whatever is said competes with
all that was ever said: the model keeps every statement, and takes the greatest.
"""

import gzip
import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from reference import CODELIST, Claim, Place

BASE = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
"""The first night; later ones are whole hours after it, so that a run may begin when something was registered."""

ACTORS = {"a": 100, "b": 100, "c": 50, "d": 200}
"""Priority by actor: two that tie in it, and c wins a tie (SPEC 2.2)."""

CITIZENS = tuple(f"{day}02011{number}" for day in ("05", "16", "28") for number in range(230, 239))
"""On three days of birth, which are settled and confirmed apart. Each is a story of its own."""

SPELLINGS: dict[str, dict[str, str | None]] = {
    "1": {"21100001": "+4521100001", "+45 21 10 00 01": "+4521100001", "21100002": "+4521100002", "": None},
    "3": {"a@example.dk": "a@example.dk", "a@EXAMPLE.dk": "a@example.dk", "b@example.dk": "b@example.dk", " ": None},
}
"""By identifier of the contact type, what is written and what is stored of it."""

UNACCEPTABLE = "0000"
"""Neither a phone number nor an email address: rejected, so it competes with nobody."""


@dataclass(frozen=True)
class Line:
    """One record as an actor writes it; ``registered_at`` None: the extract's creation time counts."""

    citizen: str
    kind: str
    written: str
    registered_at: datetime | None

    @property
    def place(self) -> Place:
        return self.citizen, CODELIST[self.kind]

    @property
    def value(self) -> str | None:
        return SPELLINGS[self.kind][self.written]

    @property
    def is_told(self) -> bool:
        """Whether the value is one."""
        return self.written in SPELLINGS[self.kind]

    def is_accepted(self, started_at: datetime) -> bool:
        in_time = self.registered_at is None or self.registered_at <= started_at + timedelta(minutes=5)
        return in_time and self.is_told


@dataclass(frozen=True)
class Extract:
    """The content of one file. ``note`` makes the bytes its own: every record gives it as its reference."""

    lines: tuple[Line, ...]
    form: str
    note: str

    def content(self) -> bytes:
        if self.form == "jsonl":
            return b"".join(json.dumps(_message(line, self.note)).encode() + b"\n" for line in self.lines)
        if self.form == "parquet":
            rows = [[*_cells(line), self.note] for line in self.lines]
            columns = [list(column) for column in zip(*rows, strict=True)]
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table(columns, _COLUMNS), sink)
            return sink.getvalue().to_pybytes()
        rows = [_COLUMNS, *([*_cells(line), self.note] for line in self.lines)]
        text = "".join(";".join(row) + "\n" for row in rows).encode()
        return gzip.compress(text, mtime=0) if self.form == "csv.gz" else text


_COLUMNS = ["personnummer", "kontaktdatatype", "kontaktdata", "registreret", "reference"]


def _cells(line: Line) -> list[str]:
    return [line.citizen, line.kind, line.written, line.registered_at.isoformat() if line.registered_at else ""]


def _message(line: Line, note: str) -> dict[str, Any]:
    number, kind, written, registered = _cells(line)
    contact = {"kontaktdatatype": kind, "kontaktdata": written}
    return {"personnummer": number, "registreret": registered, "reference": note, "kontaktinformationer": [contact]}


# Long before the first night, and at the very times at which nights may begin, in which an extract without times ties.
TIMES = (None, *(BASE + timedelta(hours=hours, seconds=1) for hours in (-24, 1, 2)))
HOW_OFTEN = (1, 6, 3, 3)
"""A record without a time is mostly the newest, and would settle everything if there were many."""


def any_lines(chance: random.Random, records: int) -> list[Line]:
    """So many records at random, of few values and fewer times: they repeat, contradict and tie."""

    def any_line() -> Line:
        kind = chance.choice(sorted(SPELLINGS))
        written = UNACCEPTABLE if chance.random() < 0.05 else chance.choice(sorted(SPELLINGS[kind]))
        return Line(chance.choice(CITIZENS), kind, written, chance.choices(TIMES, HOW_OFTEN)[0])

    return [any_line() for _ in range(records)]


@dataclass
class Workspace:
    """Where actors deliver, and what `afstem` is told about it."""

    folder: Path
    store_url: str
    content_of: dict[Path, Extract] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        never_held = "[hold]\nmin_records = 1000000\n"  # which the model does not know (SPEC 5.4)
        (self.folder / "afstem.toml").write_text(
            f'[store]\nurl = "{self.store_url}"\n[paths]\nlanding = "landing"\n{never_held}'
        )
        (self.folder / "actors.toml").write_text(
            "".join(
                f'[[actor]]\nid = "{actor}"\nname = "{actor}"\ntype = "star"\nsource = "{actor}"\n'
                f"priority = {priority}\n"
                for actor, priority in ACTORS.items()
            )
        )
        for actor in ACTORS:
            (self.folder / actor).mkdir()
        reference = self.folder / "reference"
        reference.mkdir()
        (reference / "citizens.csv").write_text("personnummer;status\n" + "".join(f"{c};01\n" for c in CITIZENS))

    @property
    def config(self) -> Path:
        return self.folder / "afstem.toml"

    @property
    def reference(self) -> Path:
        return self.folder / "reference"

    def deliver(self, actor: str, extract: Extract) -> Path:
        """Put a file into the actor's folder, under a name that nothing can be told from."""
        name = hashlib.sha256(f"{len(self.content_of)}".encode()).hexdigest()[:8]
        path = self.folder / actor / f"{name}.{extract.form}"
        path.write_bytes(extract.content())
        self.content_of[path] = extract
        return path

    def sources(self, actor: str) -> list[Path]:
        return sorted((self.folder / actor).iterdir())

    def said_by(self, actor: str) -> tuple[Line, ...]:
        """Every record that the actor ever delivered, once each."""
        extracts = [extract for path, extract in self.content_of.items() if path.parent.name == actor]
        return tuple(dict.fromkeys(line for extract in extracts for line in extract.lines))

    def write_first_contacts(self, lines: Iterable[tuple[str, Line]]) -> None:
        rows = [";".join([*_cells(line), actor]) + "\n" for actor, line in lines]
        head = "personnummer;kontaktdatatype;kontaktdata;registreret;actor\n"
        (self.reference / "contacts.csv").write_text(head + "".join(rows))


@dataclass
class Told:
    """Everything that was ever said and counts, and what of it stands."""

    statements: dict[Place, list[Claim]] = field(default_factory=dict)
    loaded: dict[Place, Claim] = field(default_factory=dict)
    applied: set[tuple[str, str]] = field(default_factory=set)
    first_pulled: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def standing(self, place: Place) -> Claim | None:
        """The greatest that was ever said of a place; what was loaded counts where nobody said anything (5.3)."""
        said = self.statements.get(place)
        return max(said, key=Claim.strength) if said else self.loaded.get(place)

    def contacts(self) -> dict[Place, tuple[str | None, datetime, str]]:
        """What anybody reads in ``contacts``."""
        standing = {place: self.standing(place) for place in self.statements.keys() | self.loaded.keys()}
        return {place: (c.value, c.registered_at, c.actor) for place, c in standing.items() if c is not None}

    def load(self, lines: Iterable[tuple[str, Line]]) -> None:
        """A reference load of contacts replaces what was loaded before."""
        self.loaded = {
            line.place: Claim(line.value, line.registered_at, BASE, actor, loaded=True)
            for actor, line in lines
            if line.registered_at is not None
        }

    def pull(self, actor: str, sha256: str, started_at: datetime) -> datetime:
        """The extract's creation time: when it was first pulled, by whatever became of that run (5.3)."""
        return self.first_pulled.setdefault((actor, sha256), started_at)

    def hear(self, new: dict[tuple[str, str], Extract], started_at: datetime) -> dict[tuple[str, str, int], str]:
        """What becomes of the records of one run, by actor, digest and record_no; from now on they count."""
        said: list[tuple[tuple[str, str, int], Place, Claim]] = []
        outcomes = {}
        for (actor, sha256), extract in new.items():
            created_at = self.pull(actor, sha256, started_at)
            self.applied.add((actor, sha256))
            for record_no, line in enumerate(extract.lines, start=1):
                outcomes[actor, sha256, record_no] = "rejected"
                if line.is_accepted(started_at):
                    registered_at = line.registered_at or created_at
                    claim = Claim(line.value, registered_at, created_at, actor, ACTORS[actor], record_no, sha256)
                    said.append(((actor, sha256, record_no), line.place, claim))
        before = {place: self.standing(place) for _, place, _ in said}
        for _, place, claim in said:
            self.statements.setdefault(place, []).append(claim)
        for key, place, claim in said:
            after, earlier = self.standing(place), before[place]
            assert after is not None
            changed = after.value != (earlier.value if earlier else None)
            agrees = claim.value == after.value
            outcomes[key] = "superseded" if not agrees else "applied" if claim is after and changed else "unchanged"
        return outcomes
