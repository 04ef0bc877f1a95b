"""JSON Lines in columns against the exact reader of one message, and that reader against SPEC 2.3."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afstem.decode import json_lines, open_extract
from afstem.decode.message import MAX_DEPTH, MAX_ELEMENTS, read_message
from afstem.errors import Unreadable
from afstem.schema import NAMED_COLUMNS


def read_columns(path: Path, content: bytes, batch_bytes: int) -> list[dict[str, object]]:
    path.write_bytes(content)
    reader = open_extract(path, "x.jsonl", "windows-1252", batch_bytes)  # the encoding is CSV's
    records = [record for batch in reader.batches() for record in batch.to_pylist()]
    assert reader.physical_records == len(records)
    return records


def read_plainly(content: bytes) -> list[dict[str, object]]:
    records: list[dict[str, object]] = []
    *whole, last = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for raw in [*(line.removesuffix(b"\r") for line in whole), last]:
        text = raw.decode(errors="backslashreplace")
        if not text.strip():
            continue
        try:
            submitted = [record._asdict() for record in read_message(raw.decode())]
        except UnicodeDecodeError:
            submitted = [{"fault": "encoding", **dict.fromkeys(NAMED_COLUMNS)}]
        for record in submitted:
            line = text[:1000] if record["fault"] else None
            records.append({"record_no": len(records) + 1, "line": line, **record})
    return records


string = st.sampled_from(
    [
        *(
            '"1"',
            '""',
            '"0101900000"',
            '"2026-01-01T10:00"',
            '"\\u00e6"',
            '"a\\"b"',
            '"\\ud800"',
            '"\\u0000"',
            '"{"',
            '"}"',
        ),
        *(
            '"æ"',
            '"\u2028"',
            '"\ufeff"',
            '"a,b:[c]"',
            '"\x00"',
            '"\t"',
            '"\x7f"',
            '"kontaktdatatype"',
            '"😀"',
            '"\\',
            '"',
        ),
    ]
)
scalar = st.one_of(
    string,
    string,
    st.sampled_from(
        [
            "null",
            "1",
            "0",
            "-0",
            "-1",
            "01",
            "1.0",
            "1e0",
            "true",
            "false",
            "NaN",
            "9" * 25,
            "Infinity",
            "[]",
            "{}",
        ]
    ),
    st.integers(0, 10**19).map(str),
)
good_text = st.sampled_from(['"1"', '"+4520123456"', "null", '""', '"æ"'])
space = st.sampled_from(["", "", "", " ", "\t", "\r", "\xa0", "\x0b"])


def objects(member: st.SearchStrategy[tuple[str, str]], most: int) -> st.SearchStrategy[str]:
    pair = st.tuples(space, member, space).map(lambda part: f'{part[0]}"{part[1][0]}":{part[2]}{part[1][1]}')
    return st.tuples(space, st.lists(pair, max_size=most)).map(lambda part: "{" + part[0] + ",".join(part[1]) + "}")


element = st.one_of(
    st.tuples(good_text, good_text).map(lambda t: f'{{"kontaktdatatype":{t[0]},"kontaktdata":{t[1]}}}'),
    st.tuples(good_text, st.integers(0, 10**20)).map(lambda t: f'{{"kontaktdata": {t[0]}, "kontaktdatatype": {t[1]}}}'),
    objects(st.tuples(st.sampled_from(["kontaktdatatype", "kontaktdata", "andet"]), scalar), 3),
    scalar,
)
elements = st.one_of(
    st.lists(element, max_size=4).map(lambda items: "[" + " ,".join(items) + "]"),
    scalar,
)
message = st.one_of(
    st.tuples(good_text, good_text, elements).map(
        lambda t: f'{{"personnummer": {t[0]}, "reference": {t[1]}, "kontaktinformationer": {t[2]}}}'
    ),
    objects(
        st.one_of(
            st.tuples(st.sampled_from(["personnummer", "registreret", "reference"]), good_text),
            st.tuples(st.sampled_from(["personnummer", "registreret", "reference", "andet"]), scalar),
            st.tuples(st.just("kontaktinformationer"), elements),
            st.tuples(st.just("kontaktinformationer"), elements),
        ),
        5,
    ),
)
line = st.one_of(
    message.map(str.encode),
    message.map(str.encode),
    st.tuples(space, message, space).map("".join).map(str.encode),
    st.sampled_from([b"", b" ", b"\xc2\xa0", b"{", b"[]", b"1", b"\xff", b"\xef\xbb\xbf{}", b"null", b"{}x", b"\r"]),
    message.map(lambda text: text.encode("latin-1", errors="ignore")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(line, min_size=1, max_size=8).map(b"\n".join).filter(bool), st.booleans())
@example(b'{"kontaktinformationer":[' + b"{}," * 64 + b"{}]}", False)
@example(b'{"personnummer":"' + b"x" * 900 + b'","kontaktinformationer":[' + b"{}," * 900 + b"{}]}\n{}", False)
@example(b'{"kontaktinformationer":[{"kontaktdatatype":"' + b"x" * 2000 + b'"}, 1]}', True)
def test_columns_agree_with_the_exact_reader_at_every_block_size(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, bom: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "messages"
    content = b"\xef\xbb\xbf" + content if bom else content
    expected = read_plainly(content)
    for batch_bytes in (40, 2**23):
        assert read_columns(path, content, batch_bytes) == expected


def test_ordinary_messages_are_read_in_columns_whatever_the_order_of_their_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = [
        [],
        [{}],
        [{"kontaktdatatype": 1, "kontaktdata": None}, {"kontaktdata": "æ", "kontaktdatatype": 3}],
    ]
    lists += [[{"kontaktdatatype": "1", "kontaktdata": "20123456"}] * 3]
    whole = {"personnummer": "0101900000", "registreret": None, "reference": "r1"}
    messages = [
        dict(order)
        for size in range(4)
        for kept in itertools.combinations(whole.items(), size)
        for elements in lists
        for order in itertools.permutations([*kept, ("kontaktinformationer", elements)])
    ]
    lines = [json.dumps(message, ensure_ascii=False, separators=separators) for message in messages
             for separators in ((", ", ": "), (",", ":"))]  # fmt: skip
    content = "\r\n".join(lines).encode()
    expected = read_plainly(content)

    def refuse(line: str) -> None:
        raise AssertionError("not in columns: " + line)

    monkeypatch.setattr(json_lines, "read_message", refuse)
    assert read_columns(tmp_path / "x", content, 2**23) == expected


def shared(**fields: object) -> str:
    return json.dumps({"kontaktinformationer": [{"kontaktdatatype": "1"}, {}], **fields})


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("{}", ["message"]),
        ("[]", ["message"]),
        ("{", ["json"]),
        ("", ["json"]),
        ('{"kontaktinformationer": null}', ["message"]),
        ('{"kontaktinformationer": {}}', ["message"]),
        ('{"kontaktinformationer": []}', []),
        ('{"kontaktinformationer": [], "personnummer": 1}', ["message"]),
        ('{"kontaktinformationer": [], "reference": "\\udc00"}', ["encoding"]),
        ('{"kontaktinformationer": [{}], "kontaktinformationer": [{}, {}]}', ["message"] * 2),
        ('{"kontaktinformationer": [{}], "andet": NaN}', ["json"]),
        ('{"kontaktinformationer": [{}], "andet": 1e999}', [None]),
        ('{"kontaktinformationer": [{}], "kontaktdata": 1, "kontaktdata": 2}', [None]),
        (shared(), [None, None]),
        (shared(personnummer=101900000), ["message"] * 2),
        (shared(registreret=1), ["message"] * 2),
        (shared(reference=["a"]), ["message"] * 2),
        (shared(reference="\ud800"), ["encoding"] * 2),
        (shared(andet="\ud800"), [None, None]),
        (shared(reference=None), [None, None]),
        ('{"personnummer": "1", "personnummer": "1", "kontaktinformationer": [{}, {}]}', ["message"] * 2),
        (
            '{"kontaktinformationer": [{}, 1, null, [], {"kontaktdatatype": true}, {"kontaktdatatype": 1.0},'
            ' {"kontaktdata": 1}, {"kontaktdata": "\\ud83d"}, {"kontaktdata": "\\ud83d\\ude00"},'
            ' {"kontaktdata": "a", "kontaktdata": "a"}, {"andet": 1, "andet": {}}]}',
            [None, *["message"] * 6, "encoding", None, "message", None],
        ),
        ('{"kontaktinformationer": [' + "1," * 9000 + "1]}", ["message"]),
    ],
)
def test_faults_of_a_message(line: str, faults: list[str | None]) -> None:
    assert [record.fault for record in read_message(line)] == faults


@pytest.mark.parametrize(("written", "read"), [("1", "1"), ("-0", "0"), ('"01"', "01"), ("9" * 5000, "9" * 5000)])
def test_an_integer_reads_as_its_digits(written: str, read: str) -> None:
    (record,) = read_message('{"kontaktinformationer": [{"kontaktdatatype": ' + written + "}]}")
    assert record.kontaktdatatype == read


@pytest.mark.parametrize("filling", ["", '"[[[{{{\\"[["', '"' + "]" * 300 + '"'])
def test_depth_is_limited_whatever_the_stack(filling: str) -> None:
    def nested(depth: int) -> str:
        deep = "[" * depth + filling + "]" * depth
        return f'{{"andet": {deep}, "kontaktinformationer": [{{}}]}}'

    assert [record.fault for record in read_message(nested(MAX_DEPTH - 1))] == [None]
    assert [record.fault for record in read_message(nested(MAX_DEPTH))] == ["json"]
    assert [record.fault for record in read_message("[" * 10**6)] == ["json"]
    assert [record.fault for record in read_message('["' + '\\"[' * 10**5)] == ["json"]


@pytest.mark.parametrize(("content", "records"), [(b"\xef\xbb\xbf", 0), (b"\n \r\n\xc2\xa0", 0), (b"\n{}\n\n{}", 2)])
def test_blank_lines_are_no_records(tmp_path: Path, content: bytes, records: int) -> None:
    assert len(read_columns(tmp_path / "x", content, 4)) == records


def test_an_empty_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(Unreadable, match="empty"):
        open_extract(tmp_path / "x", "x.jsonl", "utf-8")


def test_a_message_of_more_elements_than_one_citizen_can_have_is_one_record() -> None:
    element = '{"kontaktdatatype": "1"}'
    for elements, records in ((MAX_ELEMENTS, MAX_ELEMENTS), (MAX_ELEMENTS + 1, 1)):
        found = read_message('{"kontaktinformationer": [' + ",".join([element] * elements) + "]}")
        assert [record.fault for record in found] == [None if records > 1 else "message"] * records
