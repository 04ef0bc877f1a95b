"""The words between the steps: contact types, outcomes, and the Arrow columns of each stage.

Steps hand each other Arrow tables and NumPy arrays; this page says which columns they hold. A stage adds
columns, it never renames one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class ContactType(IntEnum):
    """The three kinds of contact information; the number is the code used inside columns."""

    MOBILE = 0
    LANDLINE = 1
    EMAIL = 2

    @property
    def slug(self) -> str:
        """The name in files, SQL and reports: ``mobile``, ``landline``, ``email``."""
        return self.name.lower()


UNKNOWN_TYPE = -1
"""The contact type of a record whose identifier is not in the codelist, or could not be read."""


class ActorType(StrEnum):
    """The organisation types of SPEC 2.2, as they stand in ``actors.toml`` and ``permissions.toml``."""

    A_KASSE = "a-kasse"
    JOBCENTER = "jobcenter"
    KOMMUNE = "kommune"
    STAR = "star"
    ANDEN_AKTOER = "anden-aktoer"
    SYSTEM = "system"


class Outcome(StrEnum):
    """What became of a record (SPEC 5.1)."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    HELD = "held"
    REJECTED = "rejected"


class Change(StrEnum):
    """What an applied record did to the stored value; a removal is told apart, because nothing brings it back."""

    NEW = "new"
    REPLACED = "replaced"
    REMOVED = "removed"


NAMED_COLUMNS = ("personnummer", "kontaktdatatype", "kontaktdata", "registreret", "reference")
"""The columns of an extract that SPEC 2.3 names, as the actor submits them."""

NEEDED_COLUMNS = NAMED_COLUMNS[:3]

RECEIPT_COLUMNS = ("record_no", "codes", "forklaring", "ansvarlig", "forslag", "linje", "fil")
"""What ``rejected.csv`` of a receipt adds after the submitted columns. The last is never empty: spreadsheets that save
CSV may leave out the empty cells at the end of a line, which then has too few columns."""


def is_receipt(names: Sequence[str]) -> bool:
    """Whether an extract with these column names is a receipt that came back: it ends in what a receipt adds."""
    return tuple(name.strip() for name in names[-len(RECEIPT_COLUMNS) :]) == RECEIPT_COLUMNS


MALFORMED_REASONS = (
    "",
    "columns",
    "encoding",
    "json",
    "message",
    "personnummer-missing",
    "kontaktdatatype-missing",
    "registreret-unreadable",
    "registreret-in-future",
    "reference-too-long",
)
"""Why a record cannot be read (code 1014); its place is its number inside columns, 0 means that it can.

The first four after that are faults of the line, found when it is decoded.
"""

LINE_FAULTS = MALFORMED_REASONS[1:5]

LONGEST_REFERENCE = 64
"""In characters, after trimming (SPEC 2.3)."""

MAX_RECORD_NO = 2**31 - 1
"""An extract with more records is no extract; the number takes 32 bits in columns."""

NO_CPR = -1
"""In an int64 column of CPR numbers: the record has none that can be read."""

NO_TIME = -(2**63)
"""In an int64 column of microseconds since 1970 in UTC: no time."""


def record_schema(extra_columns: int = 0) -> pa.Schema:
    """Columns of a decoded batch: what the actor submitted, as text, untrimmed, numbered.

    ``fault`` says why a line is no record (null: it is one); ``line`` then holds its text for the receipt.
    """
    import pyarrow as pa  # here, because these words are also read where no table is (`afstem explain`)

    return pa.schema(
        [
            pa.field("record_no", pa.int64(), nullable=False),
            pa.field("fault", pa.string()),
            pa.field("line", pa.string()),
            *(pa.field(name, pa.string()) for name in NAMED_COLUMNS),
            *(pa.field(f"extra.{position}", pa.string()) for position in range(extra_columns)),
        ]
    )
