"""Who may write to whom (SPEC 4.4): every kind of access against a reading one relation at a time."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afstem import codelist, permissions
from afstem.errors import UsageError
from afstem.periods import OPEN_END, day_number
from afstem.permissions import KINDS_OF_ACCESS, RELATION_KINDS, Relations, may_write
from afstem.schema import NO_CPR

DATA = Path(permissions.__file__).parent / "data"
AS_OF = date(2026, 3, 1)

Row = tuple[int, str, date, date | None]


def relations_of(rows: list[Row]) -> Relations:
    rows = sorted(rows, key=lambda row: row[0])
    return Relations(
        np.array([row[0] for row in rows], np.int64),
        np.array([RELATION_KINDS.index(row[1]) for row in rows], np.uint8),
        np.array([day_number(row[2]) for row in rows], np.int32),
        np.array([OPEN_END if row[3] is None else day_number(row[3]) for row in rows], np.int32),
    )


def holds(kind: str, number: int, rows: list[Row]) -> bool:
    """SPEC 4.4 read aloud, for one citizen and one kind of access."""
    own = [row for row in rows if row[0] == number]

    def current(relation: str) -> bool:
        return any(row[1] == relation and row[2] <= AS_OF and (row[3] is None or row[3] >= AS_OF) for row in own)

    match kind:
        case "alle borgere" | "anden aktør - alle borgere" | "system - alle borgere":
            return True
        case "egne borgere":
            return current("own")
        case "tidligere egne borgere":
            return any(row[1] == "own" and row[3] is not None and row[3] < AS_OF for row in own)
        case "gæsteadgang":
            return current("guest")
        case "anden aktør - egne borgere":
            return current("external-own")
        case "anden aktør - gæsteadgang":
            return current("external-guest")
    raise AssertionError(kind)


near = st.integers(-3, 3).map(lambda shift: AS_OF + timedelta(days=shift))
relation_rows = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(RELATION_KINDS), near, st.none() | near).filter(
        lambda row: row[3] is None or row[2] <= row[3]
    ),
    max_size=12,
)


@given(rows=relation_rows, kinds=st.frozensets(st.sampled_from(sorted(KINDS_OF_ACCESS))))
def test_may_write_agrees_with_the_spec_read_one_relation_at_a_time(rows: list[Row], kinds: frozenset[str]) -> None:
    numbers = np.array([5, NO_CPR, 1, 2, 3, 4, 6, 7, 1], np.int64)
    expected = [any(holds(kind, number, rows) for kind in kinds) for number in numbers.tolist()]
    assert may_write(numbers, relations_of(rows), kinds, AS_OF).tolist() == expected


@pytest.mark.parametrize("kind", KINDS_OF_ACCESS)
def test_every_column_of_the_matrix_is_live(kind: str) -> None:
    today: list[Row] = [(number, name, AS_OF, AS_OF) for number, name in enumerate(RELATION_KINDS, start=1)]
    rows = [*today, (5, "own", AS_OF - timedelta(days=9), AS_OF - timedelta(days=1))]
    allowed = may_write(np.arange(1, 7), relations_of(rows), {kind}, AS_OF)
    assert allowed.any()
    assert allowed.all() == (KINDS_OF_ACCESS[kind] is permissions.ANY_CITIZEN)


def test_a_relation_that_has_not_begun_gives_nothing() -> None:
    later: list[Row] = [(1, name, AS_OF + timedelta(days=1), None) for name in RELATION_KINDS]
    needing_one = {kind for kind, fact in KINDS_OF_ACCESS.items() if fact is not None}
    assert may_write(np.array([1]), relations_of(later), needing_one, AS_OF).tolist() == [False]


def test_the_shipped_matrix_is_the_one_that_was_asked_for() -> None:
    assert permissions.load(DATA / "permissions.toml") == {
        "a-kasse": {"egne borgere"},
        "jobcenter": {"egne borgere", "tidligere egne borgere"},
        "kommune": {"egne borgere"},
        "star": {"alle borgere"},
        "anden-aktoer": set(),
        "system": set(),
    }


def test_a_type_without_an_x_has_no_access() -> None:
    matrix = permissions.load(DATA / "permissions.toml")
    assert permissions.has_any_access(matrix, "star")
    assert not permissions.has_any_access(matrix, "anden-aktoer")
    assert may_write(np.array([1]), relations_of([(1, "own", AS_OF, None)]), matrix["system"], AS_OF).tolist() == [
        False
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "allowed"),
        ("[allowed]\n[extra]", "extra"),
        ("allowed = 1", "allowed"),
        ("[allowed]\nstart = []", "allowed.start"),
        ('[allowed]\nstar = "alle borgere"', "allowed.star"),
        ('[allowed]\nstar = ["Alle Borgere"]', "allowed.star"),
        ("[allowed]\nstar = [[]]", "allowed.star"),
        ("[allowed", "permissions.toml"),
    ],
)
def test_a_faulty_matrix_is_refused_by_key(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "permissions.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        permissions.load(path)
    assert str(path) in str(refused.value)
    assert named in str(refused.value)


def test_identifiers_become_contact_types() -> None:
    shipped = codelist.load(DATA / "kontaktdatatype.toml")
    assert shipped == {"1": "mobile", "2": "landline", "3": "email"}
    identifiers = pa.array(["3", "1", "01", None, "", "2", "4", "mobile"], pa.string())
    assert codelist.contact_types(identifiers, shipped).tolist() == [2, 0, -1, -1, -1, 1, -1, -1]
    assert codelist.contact_types(pa.array([], pa.string()), shipped).tolist() == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "codes"),
        ("[codes]", "codes"),
        ('[codes]\n"1" = "fax"', "codes.1"),
        ('[codes]\n"1" = 2', "codes.1"),
        ('[codes]\n" 1" = "mobile"', "codes."),
        ('version = 1\n[codes]\n"1" = "mobile"', "version"),
    ],
)
def test_a_faulty_codelist_is_refused_by_key(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "kontaktdatatype.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=named):
        codelist.load(path)
