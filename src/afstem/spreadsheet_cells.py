"""Cells that no spreadsheet runs: how texts that begin like a formula stand in a receipt, and are read back.

A spreadsheet that opens a CSV file runs every cell that begins like a formula, whatever its quotes
(https://owasp.org/www-community/attacks/CSV_Injection). In a receipt such a text gets an apostrophe in front, and an
extract that is a receipt (`schema.is_receipt`) loses just that one again: `as_submitted` undoes `harmless` for every
text, also for one that was submitted with an apostrophe of its own. No other extract loses anything.

- Like a formula begins what starts with ``= + - @``, full-width too; behind apostrophes, quotation marks, blanks and
  characters that cannot be seen, because spreadsheets pass over some of them.
- Not so a plus or minus sign before digits and blanks alone, such as ``+45 20 12 34 56``, or before nothing: that is a
  number or a text. It computes nothing, and stands as it was submitted.
- A spreadsheet that is told another separator begins a new cell after every comma, semicolon, tab and carriage return,
  so what follows one is looked at in the same way.
- A text that begins with a tab or a carriage return gets an apostrophe as well: some spreadsheets drop these.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afstem.text_bytes import bytes_of

_APART = r",;\t\r"
_PASSED_OVER = r"[\pZ\p{Cf}\x00-\x08\x0a-\x0c\x0e-\x1f\x7f-\x9f'\"]*"
_FORMULA = rf"(?:[=@＝＠]|[+\-＋－][0-9\pZ]*[^0-9\pZ{_APART}])"

# Each is where an apostrophe may have to stand, and what it has to stand before. An apostrophe is one of the characters
# that are passed over, so what needs one is found with it as without it: it comes off again, and only where it was put.
_PLACES = (
    (rf"(^|[{_APART}])", rf"({_PASSED_OVER}{_FORMULA})"),
    ("(^)", rf"({_PASSED_OVER}[\t\r])"),
)

_SIGNS = np.zeros(256, np.bool_)
_SIGNS[list("=+-@＝＋－＠\t\r".encode())] = True
"""The bytes without which no text begins like a formula."""


def harmless(texts: pa.StringArray) -> pa.StringArray:
    """The texts with an apostrophe wherever a spreadsheet would begin to compute; null stays null."""
    return _replaced(texts, [(before + formula, r"\1'\2") for before, formula in _PLACES])


def as_submitted(texts: pa.StringArray) -> pa.StringArray:
    """What `harmless` was given; null stays null."""
    return _replaced(texts, [(f"{before}'{formula}", r"\1\2") for before, formula in reversed(_PLACES)])


def _replaced(texts: pa.StringArray, patterns: list[tuple[str, str]]) -> pa.StringArray:
    if not _SIGNS[bytes_of(texts).octets].any():
        return texts  # most columns, and told much faster than by a pattern
    for pattern, replacement in patterns:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts
