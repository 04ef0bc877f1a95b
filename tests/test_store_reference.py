"""Reference data: what is loaded is what was delivered, and a broken file changes nothing (SPEC 2.6)."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afstem.errors import UsageError
from afstem.periods import OPEN_END, day_number
from afstem.permissions import RELATION_KINDS
from afstem.reconcile import CONTACTS_PER_DAY, contact_numbers, numbers_and_types
from afstem.schema import NO_TIME
from afstem.store import Store
from afstem.store import reference_files as files
from afstem.store.connection import reading
from afstem.store.lookup import estimate_contacts, read_these_contacts

ZONE = ZoneInfo("Europe/Copenhagen")
LOADED_AT = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
CODELIST = {"1": "mobile", "2": "landline", "3": "email"}

A, B, C = "0041000001", "4100000002", "9941000003"
"""No CPR numbers: no month has 0, 41 or 99 days. The first two zeros must survive."""


def upper(contact_type: int, values: pa.StringArray) -> pa.StringArray:
    """Stands in for the validators: gives a form of what ends in .dk, and null for the rest."""
    return pc.if_else(pc.ends_with(values, ".dk"), pc.utf8_upper(values), None)


def load(store: Store, folder: Path) -> dict[str, int]:
    return store.load_reference(folder, CODELIST, upper, ZONE, LOADED_AT)


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


CITIZENS = f"personnummer;status\n{C};01\n{A};90\n{B[:6]}-{B[6:]}; 1 \n"
RELATIONS = (
    "personnummer;actor;kind;valid_from;valid_to\n"
    f"{B};a;own;2026-01-01;\n{A};a;guest;2026-01-01;2026-12-31\n{A};b;own;0001-01-01;9999-12-31\n"
)
SUBSCRIPTIONS = (
    "personnummer;channel;type;valid_from;valid_to\n"
    f"{C};email;1;2026-01-01;2026-03-01\n{A};email;1;2026-01-01;\n{A};email;2;2026-01-01;\n{B};sms;1;2026-01-01;\n"
)
CONTACTS = (
    "personnummer;kontaktdatatype;kontaktdata;registreret;actor\n"
    f"{C};3;a@example.dk;2026-01-01T12:00;a\n{A};3;;2026-01-01T12:00Z;a\n{A};1; odd ;;b\n"
)


def contacts_of(store: Store, low: int = 0, high: int = 10**10) -> list[tuple[int, int, str | None, int, str, int]]:
    """(citizen, contact type, value, registered at, actor, record_no) of what is stored."""
    actors = dict(zip(*(store.sources()[name].to_pylist() for name in ("source_no", "actor")), strict=True))
    rows = [
        (
            *map(int, numbers_and_types(row["contact"])),
            *(row["value"], row["registered_at"], actors[row["source_no"]], row["record_no"]),
        )
        for row in store.stored_contacts(3 * low, 3 * high).to_pylist()
    ]
    return sorted(rows, key=lambda row: row[:2])


def microseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_a_whole_folder(store: Store, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "r",
        citizens="\ufeff" + CITIZENS,
        relations=RELATIONS,
        subscriptions=SUBSCRIPTIONS.replace("\n", "\r\n"),
        contacts=CONTACTS,
    )
    assert load(store, folder) == {"citizens": 3, "relations": 3, "subscriptions": 4, "contacts": 3}
    citizens = store.citizens()
    assert (citizens.numbers.tolist(), citizens.dead.tolist()) == ([int(A), int(B), int(C)], [int(A)])
    relations = store.relations("a")
    assert relations.numbers.tolist() == [int(A), int(B)]
    assert relations.kinds.tolist() == [RELATION_KINDS.index("guest"), RELATION_KINDS.index("own")]
    assert relations.valid_from.tolist() == [day_number(date(2026, 1, 1))] * 2
    assert relations.valid_to.tolist() == [day_number(date(2026, 12, 31)), OPEN_END]
    assert relations.kinds.dtype == np.uint8
    assert relations.valid_from.dtype == relations.valid_to.dtype == np.int32
    extremes = store.relations("b")
    assert extremes.valid_from.tolist() + extremes.valid_to.tolist() == [day_number(date.min), day_number(date.max)]
    assert store.relations("c").numbers.tolist() == []
    assert store.email_subscribers(date(2026, 3, 1)).tolist() == [int(A), int(C)]
    assert store.email_subscribers(date(2026, 3, 2)).tolist() == [int(A)]
    assert store.email_subscribers(date(2025, 12, 31)).tolist() == []
    assert contacts_of(store) == [
        (int(A), 0, "odd", NO_TIME, "b", -1),
        (int(A), 2, None, microseconds(datetime(2026, 1, 1, 12, tzinfo=UTC)), "a", -1),
        (int(C), 2, "A@EXAMPLE.DK", microseconds(datetime(2026, 1, 1, 11, tzinfo=UTC)), "a", -1),
    ]
    stamps = store.reference_stamps()
    assert {name: stamp.rows for name, stamp in stamps.items()} == load(store, folder)
    assert {stamp.loaded_at for stamp in stamps.values()} == {LOADED_AT}


def test_contacts_of_a_range(store: Store, tmp_path: Path) -> None:
    load(store, write(tmp_path / "r", contacts=CONTACTS))
    assert [row[0] for row in contacts_of(store, int(A), int(C))] == [int(A)] * 2
    assert [row[0] for row in contacts_of(store, int(A) + 1, int(C) + 1)] == [int(C)]
    assert contacts_of(store, int(C), int(C)) == []
    assert contacts_of(store, -5, 0) == []


def test_a_load_replaces_the_tables_it_has_files_for_and_no_other(store: Store, tmp_path: Path) -> None:
    load(store, write(tmp_path / "r", citizens=CITIZENS, relations=RELATIONS, contacts=CONTACTS))
    later = write(tmp_path / "later", citizens=f"personnummer;status\n{B};01\n")
    assert load(store, later) == {"citizens": 1}
    assert store.citizens().numbers.tolist() == [int(B)]
    assert len(store.relations("a").numbers) == 2
    assert len(contacts_of(store)) == 3
    assert load(store, write(tmp_path / "none", contacts=CONTACTS.splitlines()[0])) == {"contacts": 0}
    assert contacts_of(store) == []


def test_parquet_is_read_as_the_same_columns(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    numbers = pa.array([A, None, B]).filter(pa.array([True, False, True]))
    pq.write_table(
        pa.table({"Status ": pa.array([90, 1], pa.int8()), "PERSONNUMMER": numbers.dictionary_encode(), "x": [1, 2]}),
        folder / "citizens.parquet",
    )
    period = pa.array([date(2026, 1, 1), None]).cast(pa.timestamp("ns"))  # as pandas writes a date
    pq.write_table(
        pa.table(
            {
                "personnummer": numbers.cast(pa.large_string()),
                "actor": ["a", "a"],
                "kind": ["own", "guest"],
                "valid_from": pa.array([date(2026, 1, 1), date(2026, 1, 2)]),
                "valid_to": period,
            }
        ),
        folder / "relations.parquet",
    )
    pq.write_table(
        pa.table(
            {
                "personnummer": numbers,
                "kontaktdatatype": pa.array([3, 1]),
                "kontaktdata": ["a@example.dk", None],
                "registreret": pa.array(["2026-01-01T12:00:00.000005"] * 2).cast(pa.timestamp("ns")),
                "actor": ["a", "a"],
            }
        ),
        folder / "contacts.parquet",
    )
    assert load(store, folder) == {"citizens": 2, "relations": 2, "contacts": 2}
    assert store.citizens().dead.tolist() == [int(A)]
    assert store.relations("a").valid_to.tolist() == [day_number(date(2026, 1, 1)), OPEN_END]
    local_noon = microseconds(datetime(2026, 1, 1, 11, 0, 0, 5, tzinfo=UTC))
    assert contacts_of(store) == [
        (int(A), 2, "A@EXAMPLE.DK", local_noon, "a", -1),
        (int(B), 0, None, local_noon, "a", -1),
    ]


BROKEN = {
    "column missing": ("citizens", "personnummer\n", "line 1: the column status is missing"),
    "column twice": ("citizens", "personnummer;status;STATUS \n", "line 1: the column status stands twice"),
    "wrong separator": ("citizens", CITIZENS.replace(";", ","), "line 1: the column personnummer is missing"),
    "empty": ("citizens", "", "empty"),
    "too short a number": ("citizens", f"personnummer;status\n{B};01\n{B[1:]};01\n", "line 3: personnummer"),
    "letters": ("citizens", "personnummer;status\nhemmelig01;01\n", "line 2: personnummer"),
    "hyphen elsewhere": ("citizens", f"personnummer;status\n{B[:4]}-{B[4:]};01\n", "line 2: personnummer"),
    "a citizen twice": ("citizens", CITIZENS + f"\n{A};01\n", "line 6: personnummer"),
    "status": ("citizens", f"personnummer;status\n{B};90.0\n", "line 2: status"),
    "no status": ("citizens", f"personnummer;status\n{B};\n", "line 2: status"),
    "open quote": ("citizens", f'personnummer;status\n{B};"01\n{A};01\n', "line 2: the whole line"),
    "too many fields": ("citizens", f"personnummer;status\n{B};01;hemmelig\n", "line 2: the whole line"),
    "NUL": ("subscriptions", SUBSCRIPTIONS.replace("sms;1", "sms;\x00"), "line 5: type"),
    "kind": ("relations", RELATIONS.replace("own", "hemmelig", 1), "line 2: kind"),
    "kind in capitals": ("relations", RELATIONS.replace("own", "Own", 1), "line 2: kind"),
    "no kind": ("relations", RELATIONS.replace("own", "", 1), "line 2: kind"),
    "actor": ("relations", RELATIONS.replace(";b;", ";B ab;"), "line 4: actor"),
    "no such day": ("relations", RELATIONS.replace("2026-12-31", "2026-02-30"), "line 3: valid_to"),
    "danish date": ("relations", RELATIONS.replace("2026-12-31", "31-12-2026"), "line 3: valid_to"),
    "no first day": ("relations", RELATIONS.replace("own;2026-01-01", "own;"), "line 2: valid_from"),
    "channel": ("subscriptions", SUBSCRIPTIONS.replace("sms", "brev"), "line 5: channel"),
    "contact type": ("contacts", CONTACTS.replace(f"{C};3", f"{C};4"), "line 2: kontaktdatatype"),
    "time": ("contacts", CONTACTS.replace("2026-01-01T12:00;", "2026-01-01T24:00;"), "line 2: registreret"),
    "a contact twice": ("contacts", CONTACTS + f"{A};3;b@example.dk;;a\n", "line 5: personnummer"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_refused_whole_by_its_line(store: Store, tmp_path: Path, fault: str) -> None:
    name, text, message = BROKEN[fault]
    whole = {"citizens": CITIZENS, "relations": RELATIONS, "subscriptions": SUBSCRIPTIONS, "contacts": CONTACTS}
    load(store, write(tmp_path / "before", **whole))
    before = everything(store)
    # What stands in the other files is new and whole, and must not get in either.
    other = {key: text.splitlines()[0] + "\n" for key, text in whole.items()}
    with pytest.raises(UsageError) as refused:
        load(store, write(tmp_path / "r", **other | {name: text}))
    assert message in str(refused.value)
    assert f"{name}.csv" in str(refused.value)
    for content in (A, B, C, B[1:], "hemmelig", "example", "brev"):
        assert content not in str(refused.value)
    assert everything(store) == before


def everything(store: Store) -> list[object]:
    citizens, relations = store.citizens(), store.relations("a")
    return [
        *(citizens.numbers.tolist(), citizens.dead.tolist(), relations.numbers.tolist(), relations.valid_to.tolist()),
        *(store.email_subscribers(date(2026, 3, 1)).tolist(), contacts_of(store), store.reference_stamps()),
    ]


def test_bytes_that_are_no_utf8_are_refused(store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "r", citizens=CITIZENS)
    (folder / "citizens.csv").write_bytes(CITIZENS.encode() + f"{B};\xe6\n".encode("latin-1"))
    with pytest.raises(UsageError, match="line 5: the whole line"):
        load(store, folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"personnummer": [4100000002], "status": ["01"]}), "personnummer must be text"),
        (pa.table({"personnummer": [B], "status": [1.0]}), "status must be text"),
        (pa.table({"personnummer": [B]}), "status is missing"),
        (pa.table({"personnummer": pa.nulls(1), "status": ["01"]}), "line 1: personnummer"),
        (pa.table({"personnummer": [B, B], "status": ["01", "01"]}), "line 2: personnummer"),
        (pa.table({"personnummer": [B], "status": ["01\n"]}), None),
        (pa.table({"personnummer": [B], "status": ["0\n1"]}), "line 1: status: has a control character"),
    ],
)
def test_broken_parquet_is_refused(store: Store, tmp_path: Path, table: pa.Table, message: str | None) -> None:
    pq.write_table(table, tmp_path / "citizens.parquet")
    if message is None:
        assert load(store, tmp_path) == {"citizens": 1}
        return
    with pytest.raises(UsageError, match=message):
        load(store, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"personnummer;status\n", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "citizens.parquet").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        list(files.read_reference(tmp_path / "citizens.parquet"))


def test_parquet_with_bytes_that_are_no_utf8_is_refused(tmp_path: Path) -> None:
    text = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"personnummer": [B], "status": text}), tmp_path / "citizens.parquet")
    with pytest.raises(UsageError, match="cannot be read: parquet"):
        list(files.read_reference(tmp_path / "citizens.parquet"))


def test_which_files_a_folder_must_have(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no reference data"):
        files.find_files(tmp_path)
    with pytest.raises(UsageError, match="no reference data"):
        files.find_files(tmp_path / "missing")
    write(tmp_path, citizens=CITIZENS, people="x")
    assert files.find_files(tmp_path) == {"citizens": tmp_path / "citizens.csv"}
    (tmp_path / "citizens.parquet").touch()
    with pytest.raises(UsageError, match=r"both citizens\.csv and citizens\.parquet"):
        files.find_files(tmp_path)


@pytest.mark.parametrize("rows", [1_000, 70_001])
def test_no_row_is_lost_between_batches(
    store: Store, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "DEFAULT_BATCH_BYTES", 10_000 if rows == 1_000 else 500_000)
    numbers = np.random.default_rng(1).permutation(rows) + int(B)
    text = "personnummer;status\n" + "".join(f"{number};{90 if number % 3 else 1}\n" for number in numbers.tolist())
    assert load(store, write(tmp_path / "r", citizens=text)) == {"citizens": rows}
    citizens = store.citizens()
    assert citizens.numbers.tolist() == sorted(numbers.tolist())
    assert citizens.dead.tolist() == [number for number in sorted(numbers.tolist()) if number % 3]
    # A citizen who stands twice is told by the line even when the two are in different batches.
    with pytest.raises(UsageError, match=f"line {rows + 2}: personnummer: the citizen stands twice"):
        load(store, write(tmp_path / "r", citizens=text + f"{numbers[0]};01\n"))
    assert len(store.citizens().numbers) == rows


values = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
contact_rows = st.dictionaries(st.tuples(st.integers(0, 10**10 - 1), st.sampled_from([1, 2, 3])), values, max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=contact_rows, quote=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_contacts_come_out_as_they_were_written(
    store: Store, tmp_path: Path, rows: dict[tuple[int, int], str], quote: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n", quoting=quote)
    writer.writerow(["personnummer", "kontaktdatatype", "kontaktdata", "registreret", "actor"])
    writer.writerows((f"{number:010}", code, value, "", "a") for (number, code), value in rows.items())
    load(store, write(tmp_path / "r", contacts=text.getvalue()))
    expected = {(number, code - 1): value.strip() or None for (number, code), value in rows.items()}
    found = {(row[0], row[1]): row[2] for row in contacts_of(store)}
    assert found == {
        key: value.upper() if value and value.endswith(".dk") else value for key, value in expected.items()
    }
    assert [row[:2] for row in contacts_of(store)] == sorted(expected)


days = st.dates(date(2026, 2, 25), date(2026, 3, 5))
numbers = st.integers(0, 10**10 - 1) | st.integers(int(B), int(B) + 3)
relation_rows = st.lists(
    st.tuples(numbers, st.sampled_from("abc"), st.sampled_from(RELATION_KINDS), days, st.none() | days), max_size=15
)
subscription_rows = st.lists(
    st.tuples(numbers, st.sampled_from(["email", "sms"]), st.just("1"), days, st.none() | days), max_size=15
)


def csv_of(header: str, rows: list[tuple[int, str, str, date, date | None]]) -> str:
    lines = [f"{number:010};{one};{two};{begin};{end or ''}" for number, one, two, begin, end in rows]
    return "\n".join([header, *lines])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(relations=relation_rows, subscriptions=subscription_rows, as_of=days)
def test_lookups_agree_with_the_files_read_line_by_line(
    store: Store,
    tmp_path: Path,
    relations: list[tuple[int, str, str, date, date | None]],
    subscriptions: list[tuple[int, str, str, date, date | None]],
    as_of: date,
) -> None:
    load(
        store,
        write(
            tmp_path / "r",
            relations=csv_of("personnummer;actor;kind;valid_from;valid_to", relations),
            subscriptions=csv_of("personnummer;channel;type;valid_from;valid_to", subscriptions),
        ),
    )
    for actor in "abcd":
        found = store.relations(actor)
        columns = (found.numbers, found.kinds, found.valid_from, found.valid_to)
        assert found.numbers.tolist() == sorted(found.numbers.tolist())
        assert sorted(zip(*(column.tolist() for column in columns), strict=True)) == sorted(
            (number, RELATION_KINDS.index(kind), day_number(begin), OPEN_END if end is None else day_number(end))
            for number, whose, kind, begin, end in relations
            if whose == actor
        )
    assert store.email_subscribers(as_of).tolist() == sorted(
        {
            number
            for number, channel, _, begin, end in subscriptions
            if channel == "email" and begin <= as_of and (end is None or as_of <= end)
        }
    )


@pytest.mark.parametrize("asked", [[(A, 0)], [(A, 0), (A, 1), (C, 2)], []])
def test_few_contacts_are_looked_for_and_many_are_read_past(
    store: Store, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    """Whichever way is taken, the contacts of those asked for are there, as they would be among all."""
    june = [f"{day:02}06{place:06}" for day in range(41, 44) for place in range(40)]
    rows = "".join(f"{number};3;{number}@example.dk;;a\n" for number in june)
    load(store, write(tmp_path / "r", contacts=CONTACTS + rows))
    low, high = 41 * CONTACTS_PER_DAY, 44 * CONTACTS_PER_DAY
    with reading(store._engine) as connection:
        assert estimate_contacts(connection, low, high) == 40 * 12 * 3
    contacts = np.sort(np.array([contact_numbers(int(number), kind) for number, kind in asked], np.int64))
    every = store.stored_contacts(0, 100 * CONTACTS_PER_DAY)
    theirs = every.filter(np.isin(every["contact"].to_numpy(), contacts))
    assert read_these_contacts(store._engine, contacts).equals(theirs)
    assert store.stored_contacts_for(contacts, low, high).equals(theirs)
    assert store.stored_contacts_for(np.arange(10**5), 0, 100 * CONTACTS_PER_DAY).equals(every)
