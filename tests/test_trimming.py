"""Columns are trimmed by Arrow, single texts by Python: both must mean the same by white space (SPEC 2.3)."""

import pyarrow as pa
import pyarrow.compute as pc

CODE_POINTS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def test_arrow_trims_exactly_what_python_strips() -> None:
    texts = [f"{character}x{character}y{character}" for character in CODE_POINTS]
    trimmed = pc.utf8_trim_whitespace(pa.array(texts, pa.string()))
    wrong = [text for text, answer in zip(texts, trimmed.to_pylist(), strict=True) if answer != text.strip()]
    assert not wrong


def test_a_text_of_white_space_alone_becomes_empty_and_null_stays_null() -> None:
    white = [character for character in CODE_POINTS if not character.strip()]
    assert len(white) > 20
    trimmed = pc.utf8_trim_whitespace(pa.array(["".join(white), None], pa.string()))
    assert trimmed.to_pylist() == ["", None]
