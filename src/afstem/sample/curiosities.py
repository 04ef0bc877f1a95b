"""The catalogue of records that look odd and must be accepted: one row for each, written as in `dirt`.

Some of them deserve a notice (SPEC 4.6); none is ever rejected.
"""

from dataclasses import replace

from afstem.sample.layouts import Draft
from afstem.sample.oddities import (
    Oddity,
    Scene,
    about,
    both,
    in_json,
    in_lines,
    in_unicode,
    number,
    removal,
    text,
    value,
    with_text_in,
)

_MOBILE, _LANDLINE, _EMAIL = "1", "2", "3"
_NO_BREAK = "\N{NO-BREAK SPACE}"


def _second_word(draft: Draft, scene: Scene) -> Draft:
    """Another value for the citizen and contact type of a neighbour."""
    given = f"{scene.word()}@example.com" if scene.near.kontaktdatatype == _EMAIL else scene.mobile()
    return replace(scene.near, kontaktdata=given)


def _same_again(draft: Draft, scene: Scene) -> Draft:
    return scene.near


CURIOSITIES = (
    # --- spellings of a CPR number ---------------------------------------------------------------------------------
    Oddity("number-with-hyphen", None, number(lambda digits, _: digits[:6] + "-" + digits[6:])),
    Oddity("number-in-blanks", None, number(lambda digits, _: f" {digits}{_NO_BREAK}")),
    # --- spellings of a telephone number ---------------------------------------------------------------------------
    Oddity(
        "number-in-pairs",
        None,
        value(_MOBILE, "26 12 34 56", "26-12-34-56", "26.12.34.56", "26/12/34/56", "(26) 12 34 56"),
    ),
    Oddity("number-no-break-spaces", None, value(_MOBILE, f"26{_NO_BREAK}12{_NO_BREAK}34{_NO_BREAK}56")),
    Oddity(
        "number-surrounded", None, value(_LANDLINE, "\t{number} ", f"{_NO_BREAK}{{number}}", "'{number}", "{number},")
    ),
    Oddity("number-full-width", None, value(_MOBILE, "２６１２３４５６"), where=in_unicode),
    Oddity("number-en-dashes", None, value(_MOBILE, "26–12–34–56"), where=in_unicode),
    Oddity("number-zero-width-space", None, value(_MOBILE, "{number}\N{ZERO WIDTH SPACE}"), where=in_unicode, weight=1),
    Oddity(
        "number-country-code", None, value(_MOBILE, "45{number}", "45 26 12 34 56", "00 45 {number}", "++45{number}")
    ),
    # Swedish numbers that its telecom authority sets aside for fiction, and NANP's 555-01xx.
    Oddity("foreign-mobile", None, value(_MOBILE, "+46 70 174 06 05", "+1 202 555 0123", "+299 481234", "+298 211234")),
    Oddity("foreign-landline", None, value(_LANDLINE, "+46 31 390 06 00", "+46 8 465 004 00", "+1 212 555 0147")),
    Oddity("mobile-only-number-as-landline", None, value(_LANDLINE, "34212345", "+45 38 91 23 45")),
    Oddity("switchboard-of-many", None, value(_LANDLINE, "33123456"), copies=12, weight=8),
    # --- spellings of an email -------------------------------------------------------------------------------------
    Oddity("email-capitals", None, value(_EMAIL, "{word}@Example.COM", "Anna.{word}@EXAMPLE.org"), weight=8),
    Oddity("email-surrounded", None, value(_EMAIL, " {word}@example.com\t", f"{_NO_BREAK}{{word}}@example.net")),
    Oddity("email-plus", None, value(_EMAIL, "anna+{word}@example.com")),
    Oddity("email-domain-slip", None, value(_EMAIL, "{word}@gmial.com", "{word}@hotmail.con", "{word}@outlok.dk")),
    Oddity("email-danish-domain", None, value(_EMAIL, "{word}@blåbær.example.com", "{word}@RØDGRØD.example.org")),
    Oddity("email-danish-local-part", None, value(_EMAIL, "søren.{word}@example.com", "åse.æble{word}@example.net")),
    Oddity("email-punycode", None, value(_EMAIL, "{word}@xn--blbr-roah.example.com")),
    Oddity(
        "email-formula",
        None,
        value(_EMAIL, "=cmd|'/c'!{word}@example.com", "+45{word}@example.com", "{{7*7}}{word}@example.com"),
    ),
    Oddity("email-apostrophe", None, value(_EMAIL, "o'{word}@example.com")),
    Oddity("email-cpr-number", None, value(_EMAIL, "{cpr}@example.com")),
    Oddity("email-long-local-part", None, value(_EMAIL, "{word}" + "x" * 50 + "@example.com"), weight=1),
    # --- times, references, types ----------------------------------------------------------------------------------
    Oddity("time-not-given", None, text("registreret", "", " "), where=with_text_in("registreret")),
    Oddity(
        "time-long-ago",
        None,
        text("registreret", "1990-05-05", "1899-12-31T23:59:59"),
        where=with_text_in("registreret"),
    ),
    Oddity(
        "time-spelt-otherwise",
        None,
        text(
            "registreret",
            "2025-10-31",
            "20251101T101112",
            "2025-11-01T10:11:12.123456Z",
            "2025-W44-7",
            "2025-11-01 10:11+05:30",
        ),
        where=with_text_in("registreret"),
    ),
    Oddity("time-doubled-hour", None, text("registreret", "2025-10-26T02:30:00"), where=with_text_in("registreret")),
    Oddity("time-skipped-hour", None, text("registreret", "2025-03-30T02:30:00"), where=with_text_in("registreret")),
    Oddity(
        "reference-64-long",
        None,
        text("reference", "å" * 64, " " + "R" * 64 + " "),
        where=with_text_in("reference"),
        weight=1,
    ),
    Oddity(
        "reference-hostile",
        None,
        text("reference", "=1+1", '<b>"x"</b>', 'sag; 7, "a"', "{{7*7}}", "@SUM(A1)"),
        where=with_text_in("reference"),
    ),
    Oddity(
        "type-in-blanks",
        None,
        both(value(_MOBILE, "{number}"), text("kontaktdatatype", " 1 ")),
        where=with_text_in("kontaktdatatype"),
    ),
    # --- removals and repetitions ----------------------------------------------------------------------------------
    Oddity("removal-by-blanks", None, removal(_MOBILE, "own", f" {_NO_BREAK}\t")),
    Oddity("removal-of-nothing", None, removal(_LANDLINE, "quiet"), needs="quiet", weight=5),
    Oddity("removal-after-the-subscription", None, removal(_EMAIL, "expired"), needs="expired"),
    Oddity("removal-under-sms-subscription", None, removal(_MOBILE, "texted"), needs="texted"),
    Oddity(
        "replacement-under-subscription",
        None,
        both(about("subscribed"), value(_EMAIL, "ny.{word}@example.com")),
        needs="subscribed",
    ),
    Oddity("second-word", None, _second_word, weight=15),
    Oddity("same-again", None, _same_again, weight=5),
    # --- lines -----------------------------------------------------------------------------------------------------
    Oddity("blank-line", None, line=lambda line, draft: " ", where=in_lines, weight=1, records=0),
    Oddity(
        "json-value-left-out",
        None,
        line=lambda _, draft: (
            f'{{"personnummer": "{draft.personnummer}", "kontaktinformationer": [{{"kontaktdatatype": 2}}]}}'
        ),
        where=in_json,
    ),
    Oddity(
        "json-unknown-keys",
        None,
        line=lambda line, _: '{"version": 1, "afsender": {"navn": "x"}, ' + line[1:],
        where=in_json,
    ),
    Oddity(
        "json-empty-list",
        None,
        line=lambda _, draft: f'{{"personnummer": "{draft.personnummer}", "kontaktinformationer": []}}',
        where=in_json,
        weight=1,
        records=0,
    ),
    Oddity("json-escapes", None, line=lambda line, _: line.replace("p", "\\u0070"), where=in_json, weight=1),
)
