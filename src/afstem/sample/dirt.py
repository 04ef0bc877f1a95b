"""The catalogue of dirt: one row for each way in which a record is rejected, with the code it is meant to reach.

To add one, write a row: a name, the code, and how an ordinary record becomes odd. The tests hold every row against
`tests/reference.py`: it must reach its code as the primary one. `broken_files` has the dirt of whole extracts,
`curiosities` what looks odd and must be accepted.
"""

from collections.abc import Callable

from afstem.sample.layouts import Draft
from afstem.sample.oddities import (
    Oddity,
    about,
    both,
    in_csv,
    in_json,
    in_unicode,
    number,
    removal,
    text,
    value,
    with_text_in,
    with_undecodable_bytes,
)

_MOBILE, _LANDLINE, _EMAIL = "1", "2", "3"
_NO_BREAK = "\N{NO-BREAK SPACE}"
_BROKEN_BYTE = "\udc81"
"""The byte 0x81, which neither UTF-8 (standing alone) nor windows-1252 decodes; written as PEP 383 does."""


def _message(template: str) -> Callable[[str, Draft], str]:
    """A whole line of JSON, with the citizen's number where it says ``{cpr}``."""
    return lambda _, draft: template.replace("{cpr}", draft.personnummer or "")


DIRT = (
    # --- 1014: the line is no record -------------------------------------------------------------------------------
    Oddity("unclosed-quote", 1014, line=lambda line, _: '"' + line, where=in_csv, weight=1),
    Oddity("quote-within-a-field", 1014, line=lambda line, _: line[:3] + '"' + line[3:], where=in_csv, weight=1),
    Oddity("text-after-a-quoted-field", 1014, line=lambda line, _: '"x"y' + line, where=in_csv, weight=1),
    Oddity("line-break-in-quotes", 1014, line=lambda line, _: '"x\n"' + line, where=in_csv, weight=1, records=2),
    Oddity("too-few-fields", 1014, line=lambda _, draft: draft.personnummer or "", where=in_csv),
    Oddity("too-many-fields", 1014, line=lambda line, _: line + ";;,,", where=in_csv),
    Oddity(
        "undecodable-byte", 1014, text("kontaktdata", f"bl{_BROKEN_BYTE}b@example.com"), where=with_undecodable_bytes
    ),
    Oddity("json-cut-short", 1014, line=lambda line, _: line[:-1], where=in_json),
    Oddity("json-is-a-word", 1014, line=lambda _, draft: "ingen data", where=in_json, weight=1),
    Oddity("json-nan", 1014, line=_message('{"personnummer": "{cpr}", "kontaktinformationer": NaN}'), where=in_json),
    Oddity("json-no-object", 1014, line=_message('["{cpr}", "1", "26123456"]'), where=in_json, weight=1),
    Oddity("json-no-list", 1014, line=_message('{"personnummer": "{cpr}"}'), where=in_json),
    Oddity(
        "json-list-is-an-object",
        1014,
        line=_message('{"personnummer": "{cpr}", "kontaktinformationer": {"kontaktdatatype": "1"}}'),
        where=in_json,
        weight=1,
    ),
    Oddity(
        "json-element-is-text",
        1014,
        line=_message('{"personnummer": "{cpr}", "kontaktinformationer": ["26123456"]}'),
        where=in_json,
        weight=1,
    ),
    Oddity(
        "json-number-is-not-text",
        1014,
        line=_message('{"personnummer": 12, "kontaktinformationer": [{"kontaktdatatype": "1"}]}'),
        where=in_json,
    ),
    Oddity(
        "json-value-is-not-text",
        1014,
        line=_message(
            '{"personnummer": "{cpr}", "kontaktinformationer": [{"kontaktdatatype": "1", "kontaktdata": 26123456}]}'
        ),
        where=in_json,
    ),
    Oddity(
        "json-type-is-true",
        1014,
        line=_message('{"personnummer": "{cpr}", "kontaktinformationer": [{"kontaktdatatype": true}]}'),
        where=in_json,
        weight=1,
    ),
    Oddity(
        "json-key-twice",
        1014,
        line=_message('{"personnummer": "{cpr}", "personnummer": "{cpr}", "kontaktinformationer": [{}]}'),
        where=in_json,
        weight=1,
    ),
    Oddity(
        "json-half-a-character",
        1014,
        line=_message(
            '{"personnummer": "{cpr}", "kontaktinformationer": [{"kontaktdatatype": "3", "kontaktdata": "\\ud800"}]}'
        ),
        where=in_json,
        weight=1,
    ),
    # --- 1014: a field that makes the message unreadable -----------------------------------------------------------
    Oddity("no-number", 1014, text("personnummer", "", " ", _NO_BREAK)),
    Oddity("no-type", 1014, text("kontaktdatatype", "", "  "), where=with_text_in("kontaktdatatype")),
    Oddity(
        "time-that-is-none",
        1014,
        text("registreret", "i går", "31-12-2025", "2026-02-30", "2026-11-01T24:00:00", "2026-11-01T10:00:00 CET", "0"),
        where=with_text_in("registreret"),
        weight=5,
    ),
    Oddity(
        "time-before-year-one",
        1014,
        text("registreret", "0001-01-01T00:00:00+14:00"),
        where=with_text_in("registreret"),
        weight=1,
    ),
    Oddity("time-to-come", 1014, text("registreret", "2199-01-01T00:00:00"), where=with_text_in("registreret")),
    Oddity("reference-too-long", 1014, text("reference", "ø" * 65, "R" * 300), where=with_text_in("reference")),
    # --- 1001: no CPR number ---------------------------------------------------------------------------------------
    Oddity(
        "leading-zero-lost",
        1001,
        number(lambda _, scene: scene.citizen("own-from-early-in-a-month")[1:]),
        needs="own-from-early-in-a-month",
        weight=20,
    ),
    Oddity("one-digit-too-many", 1001, number(lambda digits, _: digits + "0")),
    Oddity("birth-date-only", 1001, number(lambda digits, _: digits[:6])),
    Oddity("letters-in-the-serial", 1001, number(lambda digits, _: digits[:6] + "AB12")),
    Oddity("number-is-a-word", 1001, text("personnummer", "ukendt", "n/a", "NULL"), weight=1),
    Oddity("scientific-notation", 1001, text("personnummer", "1,01E+09", "1.01E+09")),
    Oddity("31-february", 1001, number(lambda digits, _: "3102" + digits[4:])),
    Oddity("29-february-1979", 1001, number(lambda digits, _: "2902790" + digits[7:])),
    Oddity("29-february-1900", 1001, number(lambda digits, _: "2902000" + digits[7:]), weight=1),
    Oddity("month-13", 1001, number(lambda digits, _: digits[:2] + "13" + digits[4:])),
    Oddity("day-0", 1001, number(lambda digits, _: "00" + digits[2:]), weight=1),
    Oddity("replacement-number", 1001, number(lambda digits, _: str(int(digits[0]) + 6) + digits[1:]), weight=5),
    Oddity("blank-for-hyphen", 1001, number(lambda digits, _: digits[:6] + " " + digits[6:])),
    Oddity("hyphen-misplaced", 1001, number(lambda digits, _: digits[:4] + "-" + digits[4:]), weight=1),
    Oddity("two-hyphens", 1001, number(lambda digits, _: digits[:6] + "--" + digits[6:]), weight=1),
    Oddity("nul-in-the-number", 1001, number(lambda digits, _: digits[:6] + "\0" + digits[6:]), weight=1),
    Oddity("no-number-and-no-email", 1001, both(text("personnummer", "123"), value(_EMAIL, "ingen"))),
    # --- 1010 and 4575: whose citizen? -----------------------------------------------------------------------------
    Oddity("unknown-citizen", 1010, about("nobody"), needs="nobody", weight=15),
    Oddity("number-of-the-unknown", 1010, text("personnummer", "0000000000", "000000-0000"), weight=5),
    Oddity("unknown-citizen-bad-mobile", 1010, both(about("nobody"), value(_MOBILE, "123")), needs="nobody", weight=1),
    Oddity("stranger", 4575, about("stranger"), needs="stranger", weight=15),
    Oddity("guest-only", 4575, about("guest"), needs="guest", weight=5),
    Oddity("former-citizen", 4575, about("former"), needs="former", weight=10),
    Oddity("future-citizen", 4575, about("future"), needs="future", weight=5),
    Oddity("stranger-email-removed", 4575, removal(_EMAIL, "stranger"), needs="stranger", weight=1),
    Oddity(
        "stranger-unknown-type",
        4575,
        both(about("stranger"), text("kontaktdatatype", "7")),
        needs="stranger",
        where=with_text_in("kontaktdatatype"),
        weight=1,
    ),
    # --- 4405, 9153 and 9155: the citizen, the type, the subscription ----------------------------------------------
    Oddity("dead", 4405, about("dead"), needs="dead", weight=15),
    Oddity("dead-and-removed", 4405, removal(_MOBILE, "dead"), needs="dead"),
    Oddity(
        "unknown-type",
        9153,
        text("kontaktdatatype", "0", "4", "99", "-1"),
        where=with_text_in("kontaktdatatype"),
        weight=10,
    ),
    Oddity(
        "type-is-a-word",
        9153,
        text("kontaktdatatype", "mobil", "email", "01", "1.0", "1 2", "MAIL"),
        where=with_text_in("kontaktdatatype"),
        weight=5,
    ),
    Oddity("subscribed-email-removed", 9155, removal(_EMAIL, "subscribed"), needs="subscribed", weight=20),
    Oddity("subscribed-email-blanked", 9155, removal(_EMAIL, "subscribed", _NO_BREAK + " "), needs="subscribed"),
    # --- 9156: mobile numbers --------------------------------------------------------------------------------------
    Oddity("mobile-too-short", 9156, value(_MOBILE, "1812", "2612345", "12"), weight=15),
    Oddity("mobile-too-long", 9156, value(_MOBILE, "{number}7", "+45 {number} 12"), weight=10),
    Oddity("mobile-letter-for-digit", 9156, value(_MOBILE, "26 12 34 5O", "2612E456"), weight=5),
    Oddity("mobile-is-a-word", 9156, value(_MOBILE, "ukendt", "ingen", "se sag", "-", "?"), weight=10),
    Oddity("mobile-with-a-label", 9156, value(_MOBILE, "tlf. {number}", "{number} (mor)"), weight=5),
    Oddity(
        "mobile-extension",
        9156,
        value(_MOBILE, "{number} ext. 12", "{number}x12", "+45{number}#12", "{number} lok. 12"),
    ),
    Oddity("mobile-premium", 9156, value(_MOBILE, "90123456", "+45 90 12 34 56")),
    Oddity("mobile-toll-free", 9156, value(_MOBILE, "80123456")),
    Oddity("mobile-of-no-class", 9156, value(_MOBILE, "83123456", "95123456", "00000000", "11111111"), weight=5),
    Oddity("mobile-emergency", 9156, value(_MOBILE, "112", "114"), weight=1),
    Oddity("mobile-foreign-landline", 9156, value(_MOBILE, "+46 8 123 456 78", "+49 30 901820")),
    Oddity("mobile-foreign-invalid", 9156, value(_MOBILE, "+46 12", "+999 123 456 78", "0046 1")),
    Oddity(
        "mobile-two-numbers",
        9156,
        value(_MOBILE, "{number} / {number}", "{number}, {number}", "{number};{number}"),
        weight=5,
    ),
    Oddity("mobile-tab-inside", 9156, value(_MOBILE, "26\t123456"), weight=1),
    Oddity("mobile-nul-inside", 9156, value(_MOBILE, "26\x00123456"), weight=1),
    Oddity("mobile-is-an-email", 9156, value(_MOBILE, "{word}@example.com")),
    Oddity("mobile-is-a-cpr-number", 9156, value(_MOBILE, "{cpr}")),
    Oddity("mobile-only-plus", 9156, value(_MOBILE, "+45", "+"), weight=1),
    # --- 9157: landline numbers ------------------------------------------------------------------------------------
    Oddity("landline-too-short", 9157, value(_LANDLINE, "123456", "3312"), weight=10),
    Oddity("landline-too-long", 9157, value(_LANDLINE, "{number}012"), weight=5),
    Oddity("landline-letters", 9157, value(_LANDLINE, "33 I2 34 56", "omstillingen", "{number} kl. 9-12"), weight=5),
    Oddity("landline-extension", 9157, value(_LANDLINE, "{number} ext 7", "{number};ext=301")),
    Oddity("landline-premium", 9157, value(_LANDLINE, "90112233")),
    Oddity("landline-toll-free", 9157, value(_LANDLINE, "80112233")),
    Oddity("landline-foreign-invalid", 9157, value(_LANDLINE, "+46 999", "+49")),
    Oddity("landline-carriage-return", 9157, value(_LANDLINE, "33\r123456"), weight=1),
    # --- 9158: emails ----------------------------------------------------------------------------------------------
    Oddity("email-no-at", 9158, value(_EMAIL, "{word}.example.com", "ingen mail", "{number}"), weight=15),
    Oddity("email-two-ats", 9158, value(_EMAIL, "{word}@post@example.com"), weight=3),
    Oddity("email-blank-inside", 9158, value(_EMAIL, "anna {word}@example.com", "{word}@ example.com"), weight=10),
    Oddity("email-no-break-space-inside", 9158, value(_EMAIL, f"anna{_NO_BREAK}{{word}}@example.com")),
    Oddity("email-zero-width-space", 9158, value(_EMAIL, "{word}@example.com\N{ZERO WIDTH SPACE}"), where=in_unicode),
    Oddity(
        "email-full-width-at",
        9158,
        value(_EMAIL, "{word}\N{FULLWIDTH COMMERCIAL AT}example.com"),
        where=in_unicode,
        weight=1,
    ),
    Oddity(
        "email-dot-misplaced",
        9158,
        value(_EMAIL, ".{word}@example.com", "{word}.@example.com", "a..{word}@example.com"),
        weight=5,
    ),
    Oddity(
        "email-domain-dot-misplaced",
        9158,
        value(_EMAIL, "{word}@example.com.", "{word}@example..com", "{word}@.example.com"),
    ),
    Oddity("email-no-top-level", 9158, value(_EMAIL, "{word}@localhost", "{word}@example"), weight=5),
    Oddity(
        "email-reserved-top-level", 9158, value(_EMAIL, "{word}@post.invalid", "{word}@post.test", "{word}@post.local")
    ),
    Oddity(
        "email-domain-characters",
        9158,
        value(_EMAIL, "{word}@exa_mple.com", "{word}@example,com", "{word}@-example.com"),
        weight=5,
    ),
    Oddity(
        "email-with-a-name",
        9158,
        value(_EMAIL, "Anna <{word}@example.com>", "<{word}@example.com>", "mailto:{word}@example.com"),
    ),
    Oddity("email-quoted", 9158, value(_EMAIL, '"{word}"@example.com', '"anna {word}"@example.com')),
    Oddity("email-ip-address", 9158, value(_EMAIL, "{word}@[127.0.0.1]"), weight=1),
    Oddity(
        "email-two-addresses",
        9158,
        value(_EMAIL, "{word}@example.com;{word}@example.org", "{word}@example.com, {word}@example.net"),
        weight=5,
    ),
    Oddity("email-half", 9158, value(_EMAIL, "{word}@", "@example.com", "@"), weight=3),
    Oddity("email-label-too-long", 9158, value(_EMAIL, "{word}@" + "x" * 64 + ".example.com"), weight=1),
    Oddity("email-nul-inside", 9158, value(_EMAIL, "anna\x00{word}@example.com"), weight=1),
    Oddity(
        "email-hostile", 9158, value(_EMAIL, "<img src=x onerror=alert(1)>@example.com", "</script><b>{word}"), weight=1
    ),
)
