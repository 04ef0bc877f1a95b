"""The codelist ``kontaktdatatype.toml``: from the identifiers in extracts to the contact types (SPEC 2.5)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from afstem.errors import UsageError
from afstem.schema import UNKNOWN_TYPE, ContactType
from afstem.text_bytes import bytes_of
from afstem.toml_file import read_toml

Codelist = Mapping[str, str]
"""From identifier to the slug of a contact type."""

TYPE_OF_SLUG = {contact_type.slug: contact_type for contact_type in ContactType}


def load(path: Path) -> Codelist:
    """Read a codelist; several identifiers may mean the same contact type.

    Raises `UsageError` naming file and key for an unknown key, an unknown contact type, or an empty list.
    """
    content = read_toml(path)
    for key in content:
        if key != "codes":
            raise UsageError(f"{path}: {key}: unknown key")
    codes = content.get("codes")
    if not isinstance(codes, dict) or not codes:
        raise UsageError(f"{path}: codes: the table is missing or empty")
    for identifier, slug in codes.items():
        if identifier != identifier.strip() or not identifier:
            raise UsageError(f"{path}: codes.{identifier!r}: blanks around an identifier never match")
        if not isinstance(slug, str) or slug not in TYPE_OF_SLUG:
            raise UsageError(f"{path}: codes.{identifier}: must be one of {', '.join(TYPE_OF_SLUG)}")
    return dict(codes)


def contact_types(identifiers: pa.StringArray, codelist: Codelist) -> npt.NDArray[np.int8]:
    """The `ContactType` of each trimmed identifier, `UNKNOWN_TYPE` where the codelist has none or it is null."""
    column = bytes_of(identifiers)
    types = np.full(len(identifiers), UNKNOWN_TYPE, np.int8)
    # Identifiers of one byte, which is what they usually are, need no hash table.
    short = np.flatnonzero(column.lengths == 1)
    types[short] = _types_of_octets(codelist)[column.octets[column.starts[short]]]
    longer = np.flatnonzero(column.lengths > 1)
    if len(longer):
        names = pa.array(list(codelist), pa.string())
        places = pc.index_in(identifiers.take(pa.array(longer)), value_set=names).fill_null(len(codelist))
        known = np.array([*(TYPE_OF_SLUG[slug] for slug in codelist.values()), UNKNOWN_TYPE], dtype=np.int8)
        types[longer] = known[places.to_numpy(zero_copy_only=False)]
    return types


def _types_of_octets(codelist: Codelist) -> npt.NDArray[np.int8]:
    """The contact type of each byte that is an identifier by itself."""
    types = np.full(256, UNKNOWN_TYPE, np.int8)
    for identifier, slug in codelist.items():
        if len(octets := identifier.encode()) == 1:
            types[octets[0]] = TYPE_OF_SLUG[slug]
    return types
