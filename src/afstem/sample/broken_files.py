"""The catalogue of files that are no good extract: one row for each, with the code the whole of it is meant to get.

No two rows may give the same bytes: the same extract twice is read once. The last table holds files that must be left
alone, for the folder of an actor that delivers as it should.
"""

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from afstem.schema import NEEDED_COLUMNS

_HEADER = b"personnummer;kontaktdatatype;kontaktdata\n"

Numbers = list[int]
"""CPR numbers of the actor's own citizens, a few."""


@dataclass(frozen=True)
class FileKind:
    """``code`` is what the whole extract is refused with; None: it is read, and holds no records."""

    name: str
    code: int | None
    content: Callable[[Numbers], bytes]


def packed(content: bytes) -> bytes:
    """gzip that is the same whenever it is written."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def _good_lines(numbers: Numbers) -> bytes:
    return _HEADER + b"".join(f"{number:010};1;26123456\n".encode() for number in numbers)


def _parquet(numbers: Numbers, personnummer: pa.DataType, names: tuple[str, ...] = NEEDED_COLUMNS) -> bytes:
    cells = numbers if pa.types.is_integer(personnummer) else [f"{number:010}" for number in numbers]
    columns = [
        pa.array(cells, personnummer),
        pa.array(["1"] * len(numbers), pa.string()),
        pa.array(["26123456"] * len(numbers), pa.string()),
    ]
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, names=list(names)), sink, compression="none")
    return sink.getvalue()


BROKEN_FILES = (
    FileKind("tom.csv", 1014, lambda _: b""),
    FileKind("tom-pakket.jsonl.gz", 1014, lambda _: packed(b"")),
    FileKind("kun-blanke-linjer.csv", 1014, lambda _: b"\n  \n\n"),
    FileKind("uden-overskrift.csv", 1014, lambda numbers: _good_lines(numbers)[len(_HEADER) :]),
    FileKind("forkert-overskrift.csv", 1014, lambda numbers: _good_lines(numbers).replace(b"personnummer", b"cpr", 1)),
    FileKind("dobbelt-overskrift.csv", 1014, lambda numbers: b"personnummer; Kontaktdata ;" + _good_lines(numbers)),
    FileKind(
        "ulaeselig-overskrift.csv", 1014, lambda numbers: b"m\xe6rke;" + _good_lines(numbers).replace(b"\n", b"\nx;")
    ),
    FileKind("halvt-afsendt.csv.gz", 1014, lambda numbers: packed(_good_lines(numbers))[:-12]),
    FileKind("haengende-rest.csv.gz", 1014, lambda numbers: packed(_good_lines(numbers)) + b"rest"),
    FileKind("ikke-pakket.jsonl.gz", 1014, _good_lines),
    FileKind("halvt-afsendt.parquet", 1014, lambda numbers: _parquet(numbers, pa.string())[:-20]),
    FileKind("ikke-parquet.parquet", 1014, lambda numbers: b"PAR1" + _good_lines(numbers)),
    FileKind("cpr-som-tal.parquet", 1014, lambda numbers: _parquet(numbers, pa.int64())),
    FileKind(
        "uden-kontaktdata.parquet",
        1014,
        lambda numbers: _parquet(numbers, pa.string(), ("personnummer", "kontaktdatatype", "telefon")),
    ),
)

EMPTY_EXTRACTS = (
    FileKind("kun-overskrift.csv", None, lambda _: _HEADER),
    FileKind("kun-overskrift-uden-linjeskift.csv.gz", None, lambda _: packed(_HEADER.rstrip(b"\n"))),
    FileKind("kun-blanke-linjer.jsonl", None, lambda _: b"\n \n"),
    FileKind("uden-poster.parquet", None, lambda _: _parquet([], pa.string())),
)

LEFT_ALONE = {
    "README.txt": "Filer her hentes hver nat. Denne fil er ikke et udtræk.\n".encode(),
    ".kontaktdata.csv": _HEADER + b"under skrivning",
    "kontaktdata-ny.csv.part": _HEADER + b"under afsendelse",
    "kontaktdata-ny.csv.tmp": _HEADER + b"under afsendelse",
    "kontaktdata.xlsx": b"PK\x03\x04",
}
"""Files beside the extracts that are none (SPEC 2.3)."""

PLACEHOLDER = ".gitkeep"
"""The only file of a folder where nothing was delivered, so that version control keeps the folder."""
