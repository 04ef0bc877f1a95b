"""CSV in columns against a plain reader that goes through the bytes one character at a time."""

import gzip
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afstem.decode import open_extract
from afstem.decode.csv_lines import split_line
from afstem.decode.lines import WHITE_SPACE
from afstem.errors import Unreadable
from afstem.schema import NAMED_COLUMNS

HEADER = b"personnummer;kontaktdatatype;kontaktdata"
CODECS = {"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-1": "latin-1"}


def fields_of(line: str, separator: str) -> list[str] | None:
    """RFC 4180, strictly, one character at a time."""
    fields, state, field = [], "start", ""
    for character in line:
        if state == "quoted":
            if character == '"':
                state = "quote in quoted"
            else:
                field += character
        elif state == "quote in quoted" and character == '"':
            field += '"'
            state = "quoted"
        elif character == separator:
            fields.append(field)
            state, field = "start", ""
        elif state == "quote in quoted":
            return None
        elif character == '"':
            if state != "start":
                return None
            state = "quoted"
        else:
            field += character
            state = "plain"
    return None if state == "quoted" else [*fields, field]


def physical_lines(content: bytes) -> list[bytes]:
    *whole, last = content.split(b"\n")
    return [line.removesuffix(b"\r") for line in whole] + ([last] if last else [])


def read_plainly(content: bytes, encoding: str, columns: list[str], separator: str) -> list[dict[str, object]]:
    if encoding == "utf-8":
        content = content.removeprefix(b"\xef\xbb\xbf")
    records = []
    for record_no, raw in enumerate(physical_lines(content)[1:], 1):
        record = dict.fromkeys(["fault", "line", *NAMED_COLUMNS, *columns])
        text = raw.decode(CODECS[encoding], errors="backslashreplace")
        try:
            raw.decode(CODECS[encoding])
        except UnicodeDecodeError:
            record |= {"fault": "encoding", "line": text[:1000]}
        else:
            if not text.strip():
                continue
            fields = fields_of(text, separator)
            if fields is None or len(fields) != len(columns):
                record |= {"fault": "columns", "line": text[:1000]}
            else:
                record |= zip(columns, fields, strict=True)
        records.append({"record_no": record_no, **record})
    return records


def read_columns(path: Path, name: str, encoding: str, batch_bytes: int) -> list[dict[str, object]]:
    reader = open_extract(path, name, encoding, batch_bytes)
    records = [record for batch in reader.batches() for record in batch.to_pylist()]
    assert reader.physical_records == len(records)
    return records


def reason_of(path: Path, content: bytes, encoding: str = "utf-8", name: str = "x.csv") -> str:
    path.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        list(open_extract(path, name, encoding).batches())
    return caught.value.reason


CHARACTERS = [
    *(
        '"',
        '""',
        ";",
        ",",
        "\r",
        " ",
        "\t",
        "\x00",
        "\x0b",
        "\x1c",
        "'",
        "\\",
        "a",
        "1",
        "NA",
        "null",
        "NaN",
        "true",
    ),
    *(
        "æ",
        "\x85",
        "\xa0",
        "\u2028",
        "\u3000",
        "\ufeff",
        "€",
        "😀",
        "e\u0301",
        "2026-01-01",
        "0101900000",
        "\x1a",
    ),
]
BYTES = [
    b"\xff",
    b"\x81",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\xaf",
    b"\xe2\x80",
    b"\x9d",
    b"\x80",
]
text = st.lists(st.sampled_from(CHARACTERS), max_size=4).map("".join)
quoted = text.map(lambda value: '"' + value.replace('"', '""') + '"')


@st.composite
def contents(draw: st.DrawFn) -> tuple[bytes, str, list[str], str]:
    encoding = draw(st.sampled_from(sorted(CODECS)))
    separator = draw(st.sampled_from(";,"))
    columns = draw(st.permutations([*NAMED_COLUMNS[:3], *draw(st.sampled_from([[], ["reference"], ["extra.0"]]))]))
    field = st.one_of(st.just("b"), text, quoted)
    shaped = st.lists(field, min_size=len(columns), max_size=len(columns)).map(separator.join)
    line = st.one_of(shaped, shaped, text, st.lists(field, max_size=6).map(separator.join)).map(
        lambda line: line.encode(CODECS[encoding], errors="ignore")
    )
    spoilt = st.tuples(line, st.sampled_from(BYTES), line).map(b"".join)
    lines = draw(st.lists(st.one_of(line, line, line, spoilt), max_size=12))
    ends = draw(st.lists(st.sampled_from([b"\n", b"\r\n"]), min_size=len(lines) + 1, max_size=len(lines) + 1))
    names = separator.join("Ekstra" if name == "extra.0" else f" {name.upper()}\t" for name in columns)
    content = b"".join(line + end for line, end in zip([names.encode(), *lines], ends, strict=True))
    if draw(st.booleans()):
        content = content.removesuffix(b"\n")
    if encoding == "utf-8" and draw(st.booleans()):
        content = b"\xef\xbb\xbf" + content
    return content, encoding, columns, separator


THREE = list(NAMED_COLUMNS[:3])


@settings(max_examples=200, deadline=None)
@given(contents())
@example((HEADER + b"\n1;2;3\n\xef\xbb\xbf1;2;3\n", "utf-8", THREE, ";"))
@example((HEADER + b"\n\n\xef\xbb\xbf;b;b\n\xef\xbb\xbf\xef\xbb\xbf;b;b\n", "utf-8", THREE, ";"))
@example((HEADER + b'\n\xef\xbb\xbf"1";2;3\n', "utf-8", THREE, ";"))
@example((HEADER + b'\n"a;b;c\n1;2;"x"\n1;2;x"\n', "utf-8", THREE, ";"))
@example((HEADER + b"\n1;2;\x00\n;;\n\n \n1;2;3\r", "utf-8", THREE, ";"))
@example((HEADER + b"\n1;2;\x81\n1;2;\xe6\n" * 3, "windows-1252", THREE, ";"))
def test_columns_agree_with_the_plain_reader_at_every_block_size(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[bytes, str, list[str], str]
) -> None:
    content, encoding, columns, separator = case
    path = tmp_path_factory.getbasetemp() / "extract"
    expected = read_plainly(content, encoding, columns, separator)
    path.write_bytes(content)
    for batch_bytes in (1, 7, 50, 2**23):
        assert read_columns(path, "x.csv", encoding, batch_bytes) == expected
    path.write_bytes(gzip.compress(content))
    assert read_columns(path, "x.csv.gz", encoding, 40) == expected


def test_the_plain_reader_catches_a_reader_that_loses_records() -> None:
    content = HEADER + b'\n1;2;"a\n3;4;5\n6;7;b"\n'
    naive = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        parse_options=pyarrow.csv.ParseOptions(delimiter=";", newlines_in_values=True),
    )
    assert naive.num_rows < len(read_plainly(content, "utf-8", THREE, ";"))


@settings(max_examples=200, deadline=None)
@given(st.one_of(text, st.lists(st.one_of(text, quoted), max_size=5).map(";".join)))
def test_split_line_agrees_with_the_plain_reader(line: str) -> None:
    assert split_line(line, ";") == fields_of(line, ";")


def test_white_space_is_what_python_strips() -> None:
    assert set(WHITE_SPACE) == {chr(code) for code in range(sys.maxunicode + 1) if not chr(code).strip()}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "header-missing-column"),
        (b"\n\n", "header-missing-column"),
        (b"personnummer;kontaktdata\n", "header-missing-column"),
        (b"personnummer;kontaktdatatype,kontaktdata\n", "header-missing-column"),
        (HEADER + b"; KontaktData \n", "header-column-twice"),
        (HEADER + b";reference;reference\n", "header-column-twice"),
        (HEADER + b';"a\n', "header-columns"),
        (HEADER + b";\xff\n", "header-encoding"),
        (HEADER + b";" * 498 + b"\n", "too-many-columns"),
        (HEADER + b";" + b"x" * 2**20, "header-too-long"),
        (HEADER + b"\n" + b"x" * (2**24 + 1) + b"\n", "line-too-long"),
        (HEADER + b"\n" + b"x" * (2**24 + 1), "line-too-long"),
    ],
)
def test_a_file_that_is_no_csv_is_unreadable(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason_of(tmp_path / "x", content) == reason


def test_a_line_of_the_greatest_length_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(HEADER + b"\n1;2;" + b"x" * (2**24 - 4) + b"\n")
    (record,) = read_columns(path, "x.csv", "utf-8", 1)
    assert len(str(record["kontaktdata"])) == 2**24 - 4


@pytest.mark.parametrize(("encoding", "byte"), [("windows-1252", b"\x81"), ("utf-8", b"\xe6")])
def test_a_header_in_another_encoding_is_unreadable(tmp_path: Path, encoding: str, byte: bytes) -> None:
    assert reason_of(tmp_path / "x", HEADER + b";" + byte + b"\n1;2;3;4\n", encoding) == "header-encoding"


def test_a_header_alone_is_an_extract_of_no_records(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(HEADER)
    assert read_columns(path, "x.csv", "utf-8", 8) == []


def test_extra_columns_keep_their_place_and_may_repeat_or_be_unnamed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x;Kontaktdata;;kontaktDATATYPE;x;personnummer\na;b;c;d;e;f\n")
    reader = open_extract(path, "x.csv", "utf-8")
    assert reader.header.names == ("x", "Kontaktdata", "", "kontaktDATATYPE", "x", "personnummer")
    assert reader.header.columns == (
        *("extra.0", "kontaktdata", "extra.1", "kontaktdatatype"),
        *("extra.2", "personnummer"),
    )
    (batch,) = reader.batches()
    assert batch.select(["extra.0", "extra.1", "extra.2", "personnummer"]).to_pylist() == [
        {"extra.0": "a", "extra.1": "c", "extra.2": "e", "personnummer": "f"}
    ]


def test_five_hundred_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(HEADER + b";" * 497 + b"\n" + b';"x"' * 499 + b"\n" + b";" * 498 + b"\n")
    first, second = read_columns(path, "x.csv", "utf-8", 2**20)
    assert (first["fault"], first["extra.496"], second["fault"]) == (None, "x", "columns")


def test_a_parser_that_returns_too_few_rows_is_a_bug_and_rises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(HEADER + b"\n1;2;3\n4;5;6\n")
    read_csv = pyarrow.csv.read_csv
    monkeypatch.setattr(pyarrow.csv, "read_csv", lambda *given, **named: read_csv(*given, **named).slice(1))
    with pytest.raises(AssertionError, match="1 records from 2 lines"):
        read_columns(path, "x.csv", "utf-8", 2**20)
