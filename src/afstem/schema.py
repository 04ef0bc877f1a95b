"""The words between the steps: contact types, outcomes, and the Arrow columns of each stage.

Steps hand each other Arrow tables and NumPy arrays; this page says which columns they hold. A stage adds
columns, it never renames one.
"""

from __future__ import annotations

import json
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


# --- the datasets of a report -----------------------------------------------------------------------------------------

COLUMNS = {
    "run_id": "The run: its start in UTC, and six characters that tell two of one second apart",
    "actor": "The id of the actor, as in actors.toml",
    "actor_type": "The actor's organisation type: a-kasse, jobcenter, kommune, star, anden-aktoer or system",
    "extract": "The name of the file that the actor delivered, or told as a shape where it might hold personal data",
    "extract_id": "The extract: the actor and the start of the SHA-256 of the file",
    "record_no": "The record's number in its extract, from 1; null where the finding is about the whole extract",
    "reference": "The actor's own id of the record, with what looks like a CPR number masked; null if it gave none",
    "cpr_masked": "The CPR number as 010190-xxxx, or a shape of what is none",
    "cpr_token": "Stands for the citizen: the same citizen has the same token in every run, and no token leads back",
    "contact_type": "mobile, landline or email; null where the record names no type that is known",
    "outcome": "What became of the record: applied, unchanged, superseded, held or rejected",
    "primary_code": "The code that the record was rejected for; null unless it was rejected",
    "value": "In the rejections the refused value, of 9156 to 9158 only, with what looks like a CPR number masked; "
    "in the notices a shape of the accepted one",
    "is_primary": "Whether the finding is the one that its record was rejected for; true for one row of each rejected "
    "record",
    "reason": "Why the code was raised, one of a closed list of words for each code",
    "suggestion": "In the rejections what kind of mistake it probably was, in the notices the domain that was probably "
    "meant; null if nobody can tell",
    "first_seen_run": "The run in which the same finding (actor, citizen, contact type, code) was first seen, in a row "
    "until now",
    "runs_seen": "In how many runs in a row, this one included; 1 is new",
    "citizens": "Of N3 how many citizens have the value, else null",
}
"""What each column of outcomes, rejections and notices says to those who read the files. A column keeps its meaning."""


def described(schema: pa.Schema) -> pa.Schema:
    """The schema of a dataset with what its columns say: each field's ``description``, and all as ``columns``."""
    import pyarrow as pa

    texts = {name: COLUMNS[name] for name in schema.names}
    fields = [field.with_metadata({"description": texts[field.name]}) for field in schema]
    return pa.schema(fields, {"columns": json.dumps(texts)})
