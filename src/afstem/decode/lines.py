"""Physical lines as columns: where they end, which are blank, which cannot be decoded, and their text.

Arrow's regular expressions run on bytes here (one byte is one character to RE2 in a binary column). That is
exact, because every character with a meaning in CSV and JSON is ASCII and UTF-8 uses no ASCII byte inside
another character; and it cannot be led astray by bytes that are no UTF-8.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

MAX_LINE_TEXT = 1000
"""Characters of a faulty line that are kept for the receipt."""

CODECS = {"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-1": "latin-1"}
"""The encodings of SPEC 2.2 and Python's codec for each."""

WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What `str.strip` removes; a test compares it with every character of the running Python."""


def _bytes_pattern(text: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text)


_BLANK = rf"\A(?:{'|'.join(_bytes_pattern(character.encode()) for character in WHITE_SPACE)})*\z"

# Table 3-7 of the Unicode Standard, well-formed UTF-8 byte sequences.
_WELL_FORMED_UTF8 = (
    r"\A(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    r"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*\z"
)

_MAY_START_BLANK = np.zeros(256, dtype=np.bool_)
_MAY_START_BLANK[[character.encode()[0] for character in WHITE_SPACE]] = True


def split_lines(block: bytes) -> pa.BinaryArray:
    """The lines of a block that ends in LF, each with its ending; the bytes are not copied."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends + 1
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(block)])


def match(texts: pa.BinaryArray, pattern: str) -> Mask:
    """Which byte strings an RE2 pattern of bytes matches, nulls never; anchor it with ``\\A`` and ``\\z``."""
    if not len(texts):
        return np.zeros(0, np.bool_)  # compiling a long pattern takes milliseconds
    matches = pc.match_substring_regex(texts, pattern).fill_null(False)
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)


def select(lines: pa.BinaryArray, mask: Mask) -> pa.BinaryArray:
    """The lines of a mask, their bytes side by side."""
    return lines if mask.all() else lines.filter(pa.array(mask))


def join_lines(lines: pa.BinaryArray) -> pa.Buffer:
    """The lines' bytes, one after another, not copied."""
    offsets = np.frombuffer(lines.buffers()[1], np.int32)
    start, end = int(offsets[lines.offset]), int(offsets[lines.offset + len(lines)])
    return lines.buffers()[2].slice(start, end - start)


def blank(lines: pa.BinaryArray) -> Mask:
    """Which lines of UTF-8 are white space only."""
    return match(lines, _BLANK)


def count_filled(block: bytes) -> int:
    """How many lines of a UTF-8 block are not blank, counted by Python instead of by RE2.

    Bytes that cannot be decoded are no white space.
    """
    content = np.frombuffer(block, np.uint8)
    starts = np.flatnonzero(content[:-1] == ord("\n")) + 1
    suspects = starts[_MAY_START_BLANK[content[starts]]]
    if _MAY_START_BLANK[content[0]]:
        suspects = np.concatenate([[0], suspects])
    ends = (block.index(b"\n", start) for start in suspects.tolist())
    blanks = sum(
        not block[start:end].decode(errors="replace").strip()
        for start, end in zip(suspects.tolist(), ends, strict=True)
    )
    return block.count(b"\n") - blanks


def ill_formed_utf8(texts: pa.BinaryArray) -> Mask:
    """Which byte strings are no UTF-8; nulls are none of them."""
    valid: Mask = np.asarray(texts.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return ~match(texts, _WELL_FORMED_UTF8) & valid


def decode_block(block: bytes, codec: str) -> tuple[bytes, Mask | None]:
    """Decode a block strictly, line by line: the block in UTF-8, and which lines could not be decoded.

    None when all could. Those that could not keep their place and number; their content is not to be used.
    """
    if block.isascii():
        return block, None
    try:
        text = block.decode(codec)
    except UnicodeDecodeError:
        pass
    else:
        return (block if codec == "utf-8" else text.encode()), None
    lines = split_lines(block)
    if codec == "utf-8":
        return block, ill_formed_utf8(lines)
    undefined = bytes(byte for byte in range(256) if not bytes([byte]).decode(codec, errors="ignore"))
    odd = match(lines, f"[{_bytes_pattern(undefined)}]")
    return block.translate(bytes.maketrans(undefined, b"?" * len(undefined))).decode(codec).encode(), odd


def line_texts(lines: pa.BinaryArray, codec: str) -> pa.StringArray:
    """The lines as a person may read them: no ending, what is no text as ``\\xNN``, cut to length."""
    # One decoding of them all: no codec of SPEC 2.2 lets a broken character swallow the LF after it.
    texts = bytes(join_lines(lines)).decode(codec, errors="backslashreplace").split("\n")[:-1]
    whole = pc.replace_substring_regex(pa.array(texts, pa.string()), r"\r\z", "")
    return pc.utf8_slice_codeunits(whole, 0, MAX_LINE_TEXT)
