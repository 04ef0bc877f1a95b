"""The case pages of tests/cases as Python objects, and as small workspaces that any program can run over.

The pages say what afstem must answer, in words a non-programmer can check (cases/README.md explains them).
This module only reads them: it knows neither the slow rules of reference.py nor the program, so that both
can be held against the same lines.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

PAGES = Path(__file__).parent / "cases"

AS_OF = date(2025, 11, 20)
STARTED_AT = datetime(2025, 11, 20, 3, 0, tzinfo=UTC)
TIMEZONE = "Europe/Copenhagen"

ANY_CITIZEN = "*"
DEFAULT_ACTOR = "kommune"
DEFAULT_SITUATION = "own"

# The pages of one code each; 1013.csv has another shape.
RECORD_PAGES = ["1001", "1010", "1014", "4405", "4575", "9153", "9155", "9156", "9157", "9158"]


# --- reading a page -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of a page, by column name, with its odd characters put in."""

    page: str
    line_no: int
    cells: dict[str, str]

    @property
    def name(self) -> str:
        """What a test is called, so that a failure names the line to look at."""
        return f"{self.page}:{self.line_no}"


ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|U([0-9a-f]{8})|x([0-9A-F]{2})|([tnr\\])|)")


def unescaped(cell: str) -> str:
    """The cell with its escapes replaced; a raw byte becomes a half character, which ``to_bytes`` undoes."""

    def character(match: re.Match[str]) -> str:
        short, long, byte, letter = match.groups()
        if short or long:
            return chr(int(short or long, 16))
        if byte:
            return bytes([int(byte, 16)]).decode("ascii", "surrogateescape")
        if letter:
            return {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}[letter]
        return match.group()

    return ESCAPE.sub(character, cell)


def to_bytes(text: str, encoding: str = "utf-8") -> bytes:
    r"""The text of a line or file page as bytes, where ``\xE6`` stood for one of them."""
    python_name = {"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-1": "latin-1"}[encoding]
    return text.encode(python_name, "surrogateescape")


def load_lines(path: Path) -> list[Line]:
    """All lines of a page. Pages with ``|`` in their header are split there, and know no quotation marks."""
    numbered = [
        (line_no, text)
        for line_no, text in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if text and not text.startswith("#")
    ]
    (_, header), *rest = numbered
    by_bar = "|" in header

    def split(text: str) -> list[str]:
        return text.split("|") if by_bar else next(csv.reader([text], delimiter=";", strict=True))

    columns = split(header)
    lines = []
    for line_no, text in rest:
        cells = split(text)
        if len(cells) != len(columns):
            raise ValueError(f"{path.name}:{line_no}: {len(cells)} cells under {len(columns)} columns")
        lines.append(Line(path.stem, line_no, dict(zip(columns, map(unescaped, cells), strict=True))))
    return lines


# --- records ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One line of a page about records.

    ``personnummer`` is as submitted; a ``*`` has become a number of the line's own. ``allowed`` are the kinds
    of access of the actor's type, or None for the shipped matrix. ``stored`` is None where the page is silent.
    """

    name: str
    personnummer: str
    kontaktdatatype: str
    kontaktdata: str
    registreret: str
    reference: str
    situation: list[str]
    actor_type: str
    codes: list[int]
    why: str
    allowed: list[str] | None = None
    stored: str | None = None

    @property
    def actor_id(self) -> str:
        return f"{self.actor_type}-1"


def load_cases(path: Path) -> list[Case]:
    """The cases of one page about records: ``load_cases(PAGES / "1001.csv")``."""
    cases = []
    for line in load_lines(path):
        cells = line.cells
        codes = [] if cells["codes"] == "ok" else [int(code) for code in cells["codes"].split()]
        number = cells["personnummer"]
        if number == ANY_CITIZEN:
            number = synthetic_cpr(1000 * RECORD_PAGES.index(path.stem) + line.line_no)
        cases.append(
            Case(
                name=line.name,
                personnummer=number,
                kontaktdatatype=cells["kontaktdatatype"],
                kontaktdata=cells["kontaktdata"],
                registreret=cells["registreret"],
                reference=cells["reference"],
                situation=words(cells["situation"] or DEFAULT_SITUATION),
                actor_type=cells["actor"] or DEFAULT_ACTOR,
                codes=codes,
                why=cells["why"],
                allowed=words(cells["allowed"]) if cells.get("allowed") else None,
                stored=cells["stored"] if "stored" in cells and not codes else None,
            )
        )
    return cases


def words(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(",")]


def synthetic_cpr(number: int) -> str:
    """A CPR number of its own for each number from 0, of a form that has not been issued.

    A birthday from 2 January 1930 that is not 1 January, and a failing modulus 11: by the CPR office's own
    words no such number exists so far (DOMAIN.md 6).
    """
    year, day = divmod(number, 364)
    birthday = date(1930 + year % 60, 1, 2) + timedelta(days=day)
    serial = 1000 + 2 * (year // 60)
    digits = f"{birthday:%d%m%y}{serial:04}"
    return digits if fails_modulus_11(digits) else digits[:-1] + str(int(digits[-1]) + 1)


def fails_modulus_11(digits: str) -> bool:
    weights = (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True)) % 11 != 0


# --- what is known about the citizens of a page -------------------------------------------------

PERIODS = {
    "": (date(2020, 1, 2), None),
    "ended": (date(2020, 1, 2), date(2022, 6, 30)),
    "ended yesterday": (date(2020, 1, 2), AS_OF - timedelta(days=1)),
    "ends today": (date(2020, 1, 2), AS_OF),
    "begins today": (AS_OF, None),
    "begins tomorrow": (AS_OF + timedelta(days=1), None),
}
RELATIONS = ["own", "guest", "external-own", "external-guest"]
SUBSCRIPTIONS = ["email subscription", "sms subscription"]


@dataclass
class ReferenceRows:
    """The rows of SPEC 2.6, in the order of its columns; dates, and None for a period that is open."""

    citizens: list[tuple[str, str]] = field(default_factory=list)
    relations: list[tuple[str, str, str, date, date | None]] = field(default_factory=list)
    subscriptions: list[tuple[str, str, str, date, date | None]] = field(default_factory=list)


def reference_rows(cases: Iterable[Case]) -> ReferenceRows:
    """What the situations of the cases say, as reference data. One citizen of several cases is told once."""
    rows = ReferenceRows()
    for case in cases:
        digits = case.personnummer.strip()
        digits = digits[:6] + digits[7:] if digits[6:7] == "-" else digits
        if not re.fullmatch("[0-9]{10}", digits):
            continue  # nothing can be known about what is no number
        status: str | None = "01" if digits != "0000000000" else None
        for word in case.situation:
            if word == "dead":
                status = "90"
            elif word.startswith("status "):
                status = word.removeprefix("status ")
            elif word == "own of another actor":
                rows.relations.append((digits, "another-actor", "own", *PERIODS[""]))
            elif word not in ("none", "unknown citizen"):
                add_period(rows, digits, case.actor_id, word)
        if status is not None and "unknown citizen" not in case.situation:
            rows.citizens.append((digits, status))
    rows.citizens = list(dict.fromkeys(rows.citizens))
    rows.relations = list(dict.fromkeys(rows.relations))
    rows.subscriptions = list(dict.fromkeys(rows.subscriptions))
    return rows


def add_period(rows: ReferenceRows, digits: str, actor_id: str, word: str) -> None:
    """A word such as ``own ended yesterday`` or ``email subscription`` as a row."""
    for kind in RELATIONS:
        if word == kind or word.startswith(kind + " "):
            rows.relations.append((digits, actor_id, kind, *PERIODS[word.removeprefix(kind).strip()]))
            return
    for kind in SUBSCRIPTIONS:
        if word == kind or word.startswith(kind + " "):
            channel = kind.split()[0]
            rows.subscriptions.append((digits, channel, "1", *PERIODS[word.removeprefix(kind).strip()]))
            return
    raise ValueError(f"no such situation: {word!r}")


# --- a page as a workspace ----------------------------------------------------------------------


def write_workspace(folder: Path, cases: list[Case]) -> dict[tuple[str, int], Case]:
    """A workspace whose records are these cases, which must have the same ``allowed``.

    One actor for each organisation type, with one extract ``cases.jsonl`` (in which any text can stand).
    Returns the case of each (actor id, record_no). Run it with AS_OF and STARTED_AT.
    """
    allowed = {tuple(case.allowed or ()) for case in cases}
    if len(allowed) > 1:
        raise ValueError("cases with different kinds of access need workspaces of their own")
    by_actor: dict[str, list[Case]] = {}
    for case in cases:
        by_actor.setdefault(case.actor_id, []).append(case)

    write_settings(folder, {actor_id: (mine[0].actor_type, 100) for actor_id, mine in by_actor.items()})
    if cases[0].allowed is not None:
        write_permissions(folder, {case.actor_type: case.allowed or [] for case in cases})
    write_reference(folder, reference_rows(cases))
    records = {}
    for actor_id, mine in by_actor.items():
        messages = []
        for record_no, case in enumerate(mine, start=1):
            messages.append(json.dumps(message_of(case)) + "\n")
            records[actor_id, record_no] = case
        (folder / "extracts" / actor_id / "cases.jsonl").write_text("".join(messages), "utf-8")
    return records


def message_of(case: Case) -> dict[str, object]:
    element = {"kontaktdatatype": case.kontaktdatatype, "kontaktdata": case.kontaktdata}
    return {
        "personnummer": case.personnummer,
        "registreret": case.registreret,
        "reference": case.reference,
        "kontaktinformationer": [element],
    }


def write_settings(folder: Path, actors: dict[str, tuple[str, int]]) -> None:
    """afstem.toml and actors.toml for actors given as id: (type, priority), and their empty folders."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "afstem.toml").write_text(
        f'[store]\nurl = "sqlite:///var/afstem.db"\n'
        f'[paths]\nactors = "actors.toml"\nlanding = "var/landing"\nreports = "reports"\n'
        f'[run]\ntimezone = "{TIMEZONE}"\n',
        "utf-8",
    )
    entries = []
    for actor_id, (actor_type, priority) in actors.items():
        (folder / "extracts" / actor_id).mkdir(parents=True, exist_ok=True)
        entries.append(
            f'[[actor]]\nid = "{actor_id}"\nname = "{actor_id}"\ntype = "{actor_type}"\n'
            f'source = "extracts/{actor_id}"\nencoding = "utf-8"\nlogin = "source"\npriority = {priority}\n'
        )
    (folder / "actors.toml").write_text("\n".join(entries), "utf-8")


def write_permissions(folder: Path, allowed: dict[str, list[str]]) -> None:
    """permissions.toml with these rows, and afstem.toml that names it."""
    rows = [f"{actor_type} = {json.dumps(kinds, ensure_ascii=False)}\n" for actor_type, kinds in allowed.items()]
    (folder / "permissions.toml").write_text("[allowed]\n" + "".join(rows), "utf-8")
    settings = folder / "afstem.toml"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("[paths]\n", '[paths]\npermissions = "permissions.toml"\n'), "utf-8")


def write_reference(folder: Path, rows: ReferenceRows, contacts: Iterable[tuple[str, str, str, str, str]] = ()) -> None:
    """The folder ``reference`` with the tables of SPEC 2.6; ``contacts`` in the order of its columns."""
    tables: dict[str, tuple[str, Iterable[tuple[object, ...]]]] = {
        "citizens": ("personnummer;status", rows.citizens),
        "relations": ("personnummer;actor;kind;valid_from;valid_to", rows.relations),
        "subscriptions": ("personnummer;channel;type;valid_from;valid_to", rows.subscriptions),
        "contacts": ("personnummer;kontaktdatatype;kontaktdata;registreret;actor", contacts),
    }
    (folder / "reference").mkdir(parents=True, exist_ok=True)
    for name, (header, lines) in tables.items():
        if name == "contacts" and not lines:
            continue  # optional
        with (folder / "reference" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            file.write(header + "\n")
            csv.writer(file, delimiter=";", lineterminator="\n").writerows(lines)


# --- 1013: a whole extract ----------------------------------------------------------------------


@dataclass(frozen=True)
class PermissionCase:
    """One line of 1013.csv; ``allowed`` is None for the shipped matrix, ``code`` if the extract is read."""

    name: str
    actor_type: str
    allowed: list[str] | None
    code: int | None
    why: str


def load_permission_cases(path: Path) -> list[PermissionCase]:
    cases = []
    for line in load_lines(path):
        cells = line.cells
        allowed = None if cells["allowed"] == "" else [] if cells["allowed"] == "nothing" else words(cells["allowed"])
        code = None if cells["codes"] == "ok" else int(cells["codes"])
        cases.append(PermissionCase(line.name, cells["actor"], allowed, code, cells["why"]))
    return cases


# --- lines and files ----------------------------------------------------------------------------

LINE_COLUMNS = ["personnummer", "kontaktdatatype", "kontaktdata", "reference"]


@dataclass(frozen=True)
class FileCase:
    """A whole small extract and what its records are.

    ``records`` is None if the extract is refused with 1014; else (record_no, fields by column) in order,
    where fields is None for a record that is 1014 by itself, and empty where the page does not tell them.
    """

    name: str
    file_name: str
    encoding: str
    content: bytes
    records: list[tuple[int, dict[str, str | None] | None]] | None
    why: str


def load_file_cases(path: Path) -> list[FileCase]:
    """The cases of csv-lines.csv, csv-files.csv or json-lines.csv."""
    read = {"csv-lines": csv_line_case, "csv-files": csv_file_case, "json-lines": json_lines_case}[path.stem]
    return [read(line) for line in load_lines(path)]


def csv_line_case(line: Line) -> FileCase:
    cells = line.cells
    header = cells["separator"].join(LINE_COLUMNS)
    content = to_bytes(f"{header}\n{cells['line']}\n", cells["encoding"])
    records: list[tuple[int, dict[str, str | None] | None]]
    if cells["fields"] == "no record":
        records = []
    elif cells["fields"] == "1014":
        records = [(1, None)]
    else:
        records = [(1, dict(zip(LINE_COLUMNS, bracketed(cells["fields"]), strict=True)))]
    return FileCase(line.name, "line.csv", cells["encoding"], content, records, cells["why"])


def csv_file_case(line: Line) -> FileCase:
    cells = line.cells
    records: list[tuple[int, dict[str, str | None] | None]] | None = []
    if cells["records"] == "1014":
        records = None
    elif cells["records"] != "none":
        records = [
            (int(word.removesuffix("!")), None if word.endswith("!") else {}) for word in cells["records"].split()
        ]
    content = to_bytes(cells["content"], cells["encoding"])
    return FileCase(line.name, "file.csv", cells["encoding"], content, records, cells["why"])


def json_lines_case(line: Line) -> FileCase:
    cells = line.cells
    records: list[tuple[int, dict[str, str | None] | None]] | None = []
    if cells["records"] == "refused":
        records = None
    elif cells["records"] != "none":
        records = []
        for record_no, text in enumerate(re.findall(r"1014|\[[^\]]*\]", cells["records"]), start=1):
            fields = None
            if text != "1014":
                columns = ["personnummer", "kontaktdatatype", "kontaktdata"]
                told = [None if word == "-" else word for word in text[1:-1].split(" ", 2)]
                fields = dict(zip(columns, told, strict=True))
            records.append((record_no, fields))
    return FileCase(line.name, "file.jsonl", "utf-8", to_bytes(cells["content"]), records, cells["why"])


def bracketed(cell: str) -> list[str]:
    """``[a] [b] []`` as its three texts."""
    return cell[1:-1].split("] [")


# --- stories ------------------------------------------------------------------------------------

STORY_CITIZEN = synthetic_cpr(20_000)
STORY_ACTORS = {
    "kommune-a": ("kommune", 100),
    "kommune-b": ("kommune", 100),
    "jobcenter-c": ("jobcenter", 50),
    "star-d": ("star", 200),
}


@dataclass(frozen=True)
class StoryRecord:
    """One record of a story. ``file`` and ``record_no`` say where ``write_story_run`` has put it."""

    actor: str
    file: str
    record_no: int
    pulled_in_run: int
    kontaktdatatype: str
    registreret: str
    kontaktdata: str
    outcome: str


@dataclass
class Story:
    """One story of reconcile.csv: its runs from 1, and what is stored after the last.

    ``after`` maps the contact type's identifier to (value, registered_at, actor); ``history`` counts rows.
    """

    name: str
    title: str
    loaded: list[tuple[str, str, str, str]] = field(default_factory=list)
    runs: dict[int, list[StoryRecord]] = field(default_factory=dict)
    after: dict[str, tuple[str | None, datetime, str]] = field(default_factory=dict)
    history: int = 0


def load_stories(path: Path) -> list[Story]:
    stories = []
    for title, lines in groupby(load_lines(path), key=lambda line: line.cells["story"]):
        told = list(lines)
        story = Story(told[0].name, title)
        for line in told:
            cells = line.cells
            actor, value = cells["actor"], cells["kontaktdata"]
            if cells["run"] == "loaded":
                story.loaded.append((cells["kontaktdatatype"], value, cells["registreret"], actor))
            elif cells["run"] == "after":
                moment = datetime.fromisoformat(cells["registreret"])
                story.after[cells["kontaktdatatype"]] = (value or None, moment, actor)
                story.history = int(cells["outcome"])
            else:
                run_no = int(cells["run"])
                records = story.runs.setdefault(run_no, [])
                file = f"run-{run_no}-{cells['extract']}.csv"
                records.append(
                    StoryRecord(
                        actor=actor,
                        file=file,
                        record_no=1 + sum((other.actor, other.file) == (actor, file) for other in records),
                        pulled_in_run=int(cells["pulled"] or run_no),
                        kontaktdatatype=cells["kontaktdatatype"],
                        registreret=cells["registreret"],
                        kontaktdata=value,
                        outcome=cells["outcome"],
                    )
                )
        stories.append(story)
    return stories


def story_time(run_no: int) -> datetime:
    """When a run of a story starts: run 1 on 18 November 2025, and so on, at 03:00 UTC."""
    return datetime(2025, 11, 17 + run_no, 3, 0, tzinfo=UTC)


def write_story(folder: Path, story: Story) -> None:
    """The story's workspace before its first run: settings and reference data, and no extract yet."""
    write_settings(folder, STORY_ACTORS)
    rows = ReferenceRows(
        citizens=[(STORY_CITIZEN, "01")],
        relations=[(STORY_CITIZEN, actor, "own", date(2020, 1, 2), None) for actor in STORY_ACTORS],
    )
    contacts = [(STORY_CITIZEN, code, value, moment, actor) for code, value, moment, actor in story.loaded]
    write_reference(folder, rows, contacts)


def write_story_run(folder: Path, story: Story, run_no: int) -> dict[Path, datetime]:
    """Puts the extracts of one run beside those of the earlier ones.

    Returns those that an earlier run is to have pulled first, and when that was.
    """
    pulled_before = {}
    records = story.runs[run_no]
    for actor, file in dict.fromkeys((record.actor, record.file) for record in records):
        mine = [record for record in records if (record.actor, record.file) == (actor, file)]
        path = folder / "extracts" / actor / file
        with path.open("w", encoding="utf-8", newline="") as lines:
            page = csv.writer(lines, delimiter=";", lineterminator="\n")
            page.writerow(["personnummer", "kontaktdatatype", "kontaktdata", "registreret", "reference"])
            for record in mine:
                reference = f"run {run_no} {file}"  # so that no two extracts have the same bytes
                page.writerow(
                    [STORY_CITIZEN, record.kontaktdatatype, record.kontaktdata, record.registreret, reference]
                )
        if mine[0].pulled_in_run != run_no:
            pulled_before[path] = story_time(mine[0].pulled_in_run)
    return pulled_before


# --- held extracts ------------------------------------------------------------------------------

HOLD_ACTORS = {"kommune-a": ("kommune", 100), "kommune-b": ("kommune", 100)}
HOLD_CITIZENS = [synthetic_cpr(21_000 + number) for number in range(400)]


@dataclass(frozen=True)
class HeldOrNot:
    """One extract in one run of a story of hold.csv, and what must become of it."""

    actor: str
    file: str
    content: bytes
    delivered: bool
    release: bool
    state: str
    why: str

    @property
    def extract_id(self) -> str:
        return f"{self.actor}-{hashlib.sha256(self.content).hexdigest()[:12]}"


@dataclass
class HoldStory:
    """One story of hold.csv; ``limits`` is a line of ``[hold]``, or empty."""

    title: str
    limits: str
    runs: dict[int, list[HeldOrNot]] = field(default_factory=dict)


def load_hold_stories(path: Path) -> list[HoldStory]:
    stories = []
    for title, lines in groupby(load_lines(path), key=lambda line: line.cells["story"]):
        told = list(lines)
        story = HoldStory(title, told[0].cells["limits"])
        contents: dict[tuple[str, str], bytes] = {}
        for line in told:
            cells = line.cells
            key = (cells["actor"], cells["file"])
            if cells["records"].startswith("copy of "):
                contents[key] = contents[cells["actor"], cells["records"].removeprefix("copy of ")]
            elif cells["records"] not in ("same", "gone"):
                counts = [int(cells[name]) for name in ("records", "removals", "rejected", "unreadable")]
                contents[key] = extract_of_counts(cells["file"], *counts)
            story.runs.setdefault(int(cells["run"]), []).append(
                HeldOrNot(
                    actor=cells["actor"],
                    file=f"{cells['file']}.csv",
                    content=contents[key],
                    delivered=cells["records"] != "gone",
                    release=cells["release"] == "yes",
                    state=cells["state"],
                    why=cells["why"],
                )
            )
        stories.append(story)
    return stories


def extract_of_counts(letter: str, records: int, removals: int, rejected: int, unreadable: int) -> bytes:
    """An extract of so many records about as many citizens: the removals first, the good mobile numbers last."""
    lines = ["personnummer;kontaktdatatype;kontaktdata"]
    for number, citizen in enumerate(HOLD_CITIZENS[:records]):
        if number < removals:
            lines.append(f"{citizen};1;")
        elif number < removals + rejected:
            lines.append(f"{citizen};1;12")
        elif number < removals + rejected + unreadable:
            lines.append(citizen)
        else:
            lines.append(f"{citizen};1;26{100 + ord(letter)}{number:03}")
    return "".join(f"{line}\n" for line in lines).encode()


def write_hold_story(folder: Path, story: HoldStory) -> None:
    """The story's workspace before its first run."""
    write_settings(folder, HOLD_ACTORS)
    with (folder / "afstem.toml").open("a", encoding="utf-8") as settings:
        settings.write(f"[hold]\n{story.limits}\n")
    own = [(citizen, actor, "own", date(2020, 1, 2), None) for citizen in HOLD_CITIZENS for actor in HOLD_ACTORS]
    write_reference(folder, ReferenceRows(citizens=[(citizen, "01") for citizen in HOLD_CITIZENS], relations=own))


def write_hold_run(folder: Path, story: HoldStory, run_no: int) -> None:
    """Put exactly the extracts of one run into the source folders."""
    for actor in HOLD_ACTORS:
        for path in (folder / "extracts" / actor).iterdir():
            path.unlink()
    for extract in story.runs[run_no]:
        if extract.delivered:
            (folder / "extracts" / extract.actor / extract.file).write_bytes(extract.content)
