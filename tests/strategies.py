"""Hypothesis strategies shaped to the field: what actors send, and what goes wrong with it.

Random general text finds nothing here (TRAPS.md). Each strategy therefore starts from something plausible,
and then does to it what spreadsheets, web pages, keyboards and programs do.

Whole extracts keep to a few citizens (``CITIZENS``), so that records meet each other and what is known.
"""

# ruff: noqa: DTZ001 (times without a zone are what many actors send)

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from functools import cache

import phonenumbers
from case_pages import AS_OF, STARTED_AT, ReferenceRows, synthetic_cpr
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

COLUMNS = ["personnummer", "kontaktdatatype", "kontaktdata", "registreret", "reference"]

CITIZENS = [synthetic_cpr(number) for number in range(0, 8000, 1000)]

# White space that str.strip() removes, ASCII first, and characters that look like it but are none.
WHITE = ["", " ", "\t", "\u00a0", "\u2003", "\u202f", "\u3000", "\u0085", "\u2028", "\x1c", "\x0b", "\r"]
FALSE_WHITE = ["\u200b", "\ufeff", "\u00ad", "\u2060", "\u180e", "\x00", "\x1b", "\x7f"]
# Zero of: ASCII, full-width, Arabic-Indic, Persian, Devanagari, and a mathematical one beyond the first 65,536.
ZEROS = ["0", "\uff10", "\u0660", "\u06f0", "\u0966", "\U0001d7ce"]


def one_of_texts(*texts: str) -> SearchStrategy[str]:
    return st.sampled_from(texts)


def listed(line: str) -> list[str]:
    """The texts of a line that separates them by ``|``, for lists too long to read with quotation marks."""
    return line.split("|")


@st.composite
def worn(draw: st.DrawFn, texts: SearchStrategy[str]) -> str:
    """A text after its travels: mostly as it was, else with blanks around it or one character changed."""
    text = draw(texts)
    fate = draw(st.sampled_from(["as is"] * 6 + ["padded"] * 2 + ["inserted", "dropped", "replaced", "doubled"]))
    if fate == "padded":
        return draw(st.sampled_from(WHITE)) + text + draw(st.sampled_from(WHITE))
    if fate == "as is" or text == "":
        return text
    place = draw(st.integers(0, len(text) - 1))
    before, here, after = text[:place], text[place], text[place + 1 :]
    odd = draw(st.sampled_from([*WHITE, *FALSE_WHITE, *ODD]))
    changed = {"inserted": odd + here, "dropped": "", "replaced": odd, "doubled": here + here}[fate]
    return f"{before}{changed}{after}"


ODD = [
    *"-+./,;:'\"()<>@#*=x\\|&%~_ 0aA\u00e6\u00d8",
    "\n",
    "\u2013",  # en dash
    "\u2011",  # hyphen that does not break
    "\u30fc",  # Japanese long-vowel mark: a letter, and a hyphen to phonenumbers
    "\uff0b",  # full-width plus
    "\uff20",  # full-width at-sign
    "\u3002",  # ideographic full stop
    "\u0301",  # an accent of its own
    "\u200d",  # joiner
    "\u202e",  # turns the direction round
    "\u00b2",  # superscript: isdigit, not isdecimal
    "\u2460",  # circled
    "\u00ba",  # ordinal sign: a letter
    "\U0001f600",
]


@st.composite
def other_digits(draw: st.DrawFn, texts: SearchStrategy[str]) -> str:
    """The text with its ASCII digits in another script."""
    zero = draw(st.sampled_from(ZEROS))
    return "".join(chr(ord(zero) + int(c)) if c in "0123456789" else c for c in draw(texts))


# --- personnummer -------------------------------------------------------------------------------


def digits_of(length: int) -> SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length)


@st.composite
def dated_cpr(draw: st.DrawFn) -> str:
    """Ten digits with a date near the borders of the calendar and of the century rule."""
    day = draw(st.sampled_from([0, 1, 2, 15, 28, 29, 30, 31, 32, 61]))
    month = draw(st.sampled_from([0, 1, 2, 4, 6, 12, 13]))
    year = draw(st.sampled_from([0, 4, 35, 36, 37, 38, 56, 57, 58, 59, 60, 90, 96, 99]))
    return f"{day:02}{month:02}{year:02}{draw(st.integers(0, 9))}{draw(st.integers(0, 999)):03}"


@st.composite
def hyphened(draw: st.DrawFn, texts: SearchStrategy[str]) -> str:
    text = draw(texts)
    place = draw(st.sampled_from([6, 6, 6, 5, 7, 0, 10]))
    return text[:place] + draw(st.sampled_from(["-", "-", "-", "--", " ", "\u2013"])) + text[place:]


cpr_numbers = st.sampled_from(CITIZENS)
cpr_texts: SearchStrategy[str] = st.one_of(
    cpr_numbers,
    cpr_numbers,
    cpr_numbers,
    hyphened(cpr_numbers),
    worn(cpr_numbers),
    dated_cpr(),
    worn(hyphened(dated_cpr())),
    digits_of(10),
    other_digits(cpr_numbers),
    cpr_numbers.map(lambda text: text.lstrip("0")),
    one_of_texts("", " ", "0000000000", "000000-0000", "ukendt", "2,07901E+08", "null", "'" + CITIZENS[0]),
)

# --- phone numbers ------------------------------------------------------------------------------

# Two or three digits that decide the class of a Danish number (DOMAIN.md 7): common, mobile-only, free, premium, none.
DANISH_PREFIXES = listed(
    "20|32|40|53|61|70|77|88|91|99|342|356|478|493|545|586|658|664|692|772|786|826|829|80|90|83|12|00"
)

danish_numbers = st.one_of(
    st.builds(lambda prefix, rest: (prefix + rest)[:8], st.sampled_from(DANISH_PREFIXES), digits_of(6)),
    st.builds(lambda prefix, rest: (prefix + rest)[:8], st.sampled_from(DANISH_PREFIXES), digits_of(6)),
    st.integers(3, 12).flatmap(digits_of),
)


@st.composite
def foreign_number(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(FOREIGN))
    return prefix + draw(st.text("0123456789", min_size=4, max_size=10))


FOREIGN = listed(
    "+298|+2982|+299|+2992|+46|+4670|+468|+47|+474|+49151|+4930|+39|+3906|+393|+44|+4470|+4455|+4456|+447"
    "|+1201|+1800|+800|+881|+88216|+979|+3188|+4187|+48|+372|+354|+7|+999|+0|0046|011|00"
)


@cache
def example_numbers() -> list[tuple[str, str, str]]:
    """The example numbers of every region, calling code and type: calling code, national prefix, national number."""
    found = [
        (phonenumbers.ndd_prefix_for_region(region, True), example)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for number_type in phonenumbers.PhoneNumberType.values()
        if (example := phonenumbers.example_number_for_type(region, number_type)) is not None
    ]
    found += [
        (None, phonenumbers.example_number_for_non_geo_entity(code))
        for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    ]
    return sorted(
        {
            (str(number.country_code), prefix or "0", phonenumbers.national_significant_number(number))
            for prefix, number in found
        }
    )


@st.composite
def world_numbers(draw: st.DrawFn) -> str:
    """A number of any country and type, valid or nearly, also with the prefix for calls within the country."""
    code, prefix, national = draw(st.sampled_from(example_numbers()))
    fate = draw(st.sampled_from(["as is"] * 3 + ["other end", "other digit", "shorter", "longer"]))
    place = draw(st.integers(0, len(national) - 1))
    if fate == "other end":
        national = national[:place] + draw(digits_of(len(national) - place))
    elif fate == "other digit":
        national = national[:place] + draw(digits_of(1)) + national[place + 1 :]
    elif fate == "shorter":
        national = national[:place] + national[place + 1 :]
    elif fate == "longer":
        national = national[:place] + draw(digits_of(1)) + national[place:]
    head = draw(
        st.sampled_from(listed("+{0}|+{0}|00{0}|+{0} ({1})|+{0}{1}|(+{0})|\uff0b{0}|\ufe62{0}|tel:+{0}|+00{0}|+{0};|"))
    )
    return head.format(code, prefix) + national


@st.composite
def separated(draw: st.DrawFn, texts: SearchStrategy[str]) -> str:
    """Digits in groups, as people write them."""
    text = draw(texts)
    sign = draw(
        st.sampled_from(
            [" ", "-", ".", "/", "\u00a0", "\u202f", "\u2009", "\t", "  ", "", "\u2011", " - ", "\u00ad", "\u200b"]
        )
    )
    size = draw(st.sampled_from([2, 2, 3, 4]))
    return sign.join(text[place : place + size] for place in range(0, len(text), size))


@st.composite
def dressed(draw: st.DrawFn, texts: SearchStrategy[str]) -> str:
    """A number with what people put before and after it."""
    before = st.sampled_from(listed("+45|+45 |0045|45|(+45) |+45(0)|\uff0b45|tlf. |Tel:|tel:|=|'|++45|0|("))
    after = st.sampled_from(
        listed(" lok. 12| x12| ext. 3|#4|,5|;6|;ext=7|;phone-context=+45|;isub=1|*1|w2")
        + listed(" (mobil)| /20123456|\u202c|.|)| el. 20123456|\u00a0|p|\uff03 1|~9| # 12")
    )
    which = draw(st.sampled_from(["before", "after", "both"]))
    text = draw(texts)
    text = draw(before) + text if which != "after" else text
    return text + draw(after) if which != "before" else text


phone_texts: SearchStrategy[str] = st.one_of(
    danish_numbers,
    danish_numbers.map(lambda text: "+45" + text),
    separated(danish_numbers),
    dressed(danish_numbers),
    dressed(separated(danish_numbers)),
    foreign_number(),
    dressed(foreign_number()),
    separated(foreign_number()),
    world_numbers(),
    worn(world_numbers()),
    separated(world_numbers()),
    dressed(world_numbers()),
    other_digits(world_numbers()),
    other_digits(separated(danish_numbers)),
    worn(dressed(danish_numbers)),
    worn(danish_numbers),
    one_of_texts("", " ", "+", "-", "112", "1813", "ukendt", "null", "99999999", "12345678", "0", "\u200b"),
)

# --- email addresses ----------------------------------------------------------------------------

local_parts = st.one_of(
    one_of_texts("anna", "a", "Anna.Berg", "a+b", "o'hara", "\u00e6\u00f8\u00e5", "jose\u0301", "POSTMASTER", "-", "1"),
    one_of_texts('"a b"', '"a"', "a..b", ".a", "a.", "a(b)", "a,b", "a:b", "=cmd|'/c'!a1", "{{7*7}}", "<b>", ""),
    st.text("abcXYZ019.!#$%&'*+-/=?^_`{|}~\u00e6\u00df\u0130 ", max_size=8),
    st.integers(60, 70).map(lambda length: "a" * length),
)
labels = st.one_of(
    one_of_texts("example", "EXAMPLE", "r\u00f8dgr\u00f8d", "xn--rdgrd-vuad", "xn--a", "XN--RDGRD-VUAD", "ab--cd", "1"),
    st.sampled_from(listed("-a|a-||a_b|\uff45xample|stra\u00dfe|\u0130|e\u0301x|\u05d0\u05d1|\u0645\u062b")),
    st.text("abcXYZ019-\u00e6\u00d8", min_size=1, max_size=8),
    st.integers(60, 66).map(lambda length: "a" * length),
    st.sampled_from(
        listed("a\u00adb|a\u200bb|a\u200db|\ufdfa|\u212a|\u0131|\uff21|xn--|xn--0|xn---|a--b|\u65e5\u672c|1\u05d0")
    ),
    # Whatever it is, written as Punycode writes it.
    st.text("a1-\u00e6\u00f8\u00e5\u05d0\u65e5\u0301\u200d", min_size=1, max_size=6).map(
        lambda label: f"xn--{label.encode('punycode').decode()}"
    ),
)
top_labels = st.one_of(
    one_of_texts("com", "dk", "COM", "c", "test", "invalid", "local", "localhost", "onion", "arpa", "123", "xn--p1ai"),
    one_of_texts("com.", "c\u00f8m", "\u0440\u0444", "co.uk"),
    st.text("abcdk", min_size=1, max_size=4),
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    at = draw(st.sampled_from(["@"] * 12 + ["@@", "", " @", "@ ", "\uff20", "\u00a0@"]))
    dot = draw(st.sampled_from(["."] * 12 + ["..", "\u3002", ",", " ."]))
    middle = draw(st.lists(labels, min_size=0, max_size=3))
    return draw(local_parts) + at + dot.join([*middle, draw(top_labels)])


email_texts: SearchStrategy[str] = st.one_of(
    st.sampled_from(["anna", "bo", "Carl.Berg", "d"]).map(lambda name: f"{name}@example.com"),
    addresses(),
    worn(addresses()),
    worn(st.just("anna.berg@example.com")),
    st.integers(40, 63).map(lambda length: "a@" + ("b" * 49 + ".") * 4 + "c" * length + ".dk"),  # 245 to 268 in all
    one_of_texts("Anna <anna@example.com>", "mailto:a@example.com", "a@example.com; b@example.com", "a@[192.0.2.1]"),
    one_of_texts("", " ", "ingen", "null", "a@192.0.2.1", "\u200b", "20123456", "anna@gmial.com"),
)

# --- the other columns --------------------------------------------------------------------------

moments = st.one_of(
    st.datetimes(datetime(2025, 10, 1), datetime(2025, 12, 1)),
    st.datetimes(datetime(2025, 10, 26, 0), datetime(2025, 10, 26, 4)),  # the doubled hour
    st.datetimes(datetime(2025, 3, 30, 0), datetime(2025, 3, 30, 4)),  # the lost one
    st.integers(-310_000_000, 310_000_000).map(  # around the run's start + 5 minutes
        lambda microseconds: STARTED_AT.replace(tzinfo=None) + timedelta(minutes=5, microseconds=microseconds)
    ),
    # A few, so that records tie.
    st.sampled_from([datetime(2025, 11, 1, 12), datetime(2025, 11, 1, 13), datetime(2025, 11, 19)]),
)
TIME_FORMS = listed(
    "%Y-%m-%dT%H:%M:%S|%Y-%m-%d %H:%M:%S|%Y-%m-%dT%H:%M|%Y-%m-%dT%H|%Y-%m-%d|%Y%m%d|%Y%m%dT%H%M%S"
    "|%Y-%m-%dT%H:%M:%S.%f|%Y-%m-%dT%H:%M:%S,%f|%G-W%V-%u|%GW%V%u|%G-W%V|%G-W%V-%uT%H:%M"
    "|%d-%m-%Y|%d.%m.%Y %H:%M|%d/%m/%y|%Y-%j|%Y-%m|%Y-%m-%dT24:00:00|%Y%m%dT24|%Y-%m-%dT%H.%M"
)
OFFSETS = listed(
    "|||Z|+01:00|+02:00|-05:00|+0100|+01|+00:00|-00:00|+23:59|+24:00| +01:00|z| UTC|+01:00:30|[Europe/Copenhagen]"
)

iso_times: SearchStrategy[str] = moments.map(lambda moment: moment.replace(tzinfo=UTC).isoformat())
registreret_texts: SearchStrategy[str] = st.one_of(
    iso_times,
    iso_times,
    st.just(""),
    st.builds(
        lambda moment, form, offset: moment.strftime(form) + offset,
        moments,
        st.sampled_from(TIME_FORMS),
        st.sampled_from(OFFSETS),
    ),
    worn(iso_times),
    st.dates(date(1, 1, 1), date(3, 1, 1)).map(str),
    st.dates(date(9997, 1, 1), date(9999, 12, 31)).map(str),
    st.sampled_from(listed(" |0001-01-01|0001-01-01T00:50:20|9999-12-31T23:59:59-01:00|1763550000|i g\u00e5r|45980")),
    one_of_texts("2024-02-29", "2025-02-29", "2025-11-19T23:59:60", "2025-11-19T12:00:00.1234567", "\uff12025-11-19"),
)

references: SearchStrategy[str] = st.one_of(
    st.just(""),
    st.text("abc019-/ \u00e6", max_size=12),
    st.integers(62, 67).map(lambda length: "r" * length),
    st.integers(62, 67).map(lambda length: " " + "\U0001f600" * length + "\u00a0"),
    one_of_texts("=1+1", "<b>", "020790-1231", "\x00", "\u202e", '"', ";"),
)

kontaktdatatypes: SearchStrategy[str] = st.one_of(
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from(["1", "2", "3"]),
    worn(st.sampled_from(["1", "2", "3"])),
    one_of_texts("", " ", "0", "4", "9", "01", "1.0", "-1", "\uff11", "\u0661", "\u00b9", "email", "null", "1\x00"),
)


# --- records and extracts -----------------------------------------------------------------------

Texts = dict[str, str]


@st.composite
def records(draw: st.DrawFn) -> Texts:
    """One record by column name, as submitted; the value mostly fits the contact type.

    Seldom is more than one column odd: with five odd columns nearly every record would be 1014 or 1001, and
    no rule behind those would ever be asked.
    """
    odd = draw(st.sets(st.sampled_from(COLUMNS), max_size=2))
    contact_code = draw(kontaktdatatypes if "kontaktdatatype" in odd else st.sampled_from(["1", "2", "3"]))
    fitting = email_texts if contact_code.strip() not in ("1", "2") else phone_texts
    any_value = st.one_of(fitting, st.sampled_from(WHITE), phone_texts, email_texts)
    return {
        "personnummer": draw(cpr_texts if "personnummer" in odd else cpr_numbers),
        "kontaktdatatype": contact_code,
        "kontaktdata": draw(any_value if "kontaktdata" in odd else st.one_of(plain_value(contact_code), fitting)),
        "registreret": draw(registreret_texts if "registreret" in odd else plain_times),
        "reference": draw(references if "reference" in odd else st.sampled_from(["", "r1"])),
    }


plain_times = one_of_texts("", "2025-11-01T12:00:00Z", "2025-11-01T13:00:00+01:00", "2025-11-02", "2025-11-02T00:00:00")


def plain_value(contact_code: str) -> SearchStrategy[str]:
    """A valid value of the contact type, or none, which removes; few, so that they meet again."""
    if contact_code == "1":
        return one_of_texts("20123456", "+45 20 12 34 56", "34412345", "")
    if contact_code == "2":
        return one_of_texts("32123456", "+4532123456", "")
    return one_of_texts("a@example.com", "a@EXAMPLE.com", "b@example.com", "")


@st.composite
def plain_records(draw: st.DrawFn) -> Texts:
    """A record of which nearly all are accepted: few citizens, few values, few times, so that they compete."""
    contact_code = draw(st.sampled_from(["1", "2", "3"]))
    return {
        "personnummer": draw(st.sampled_from(CITIZENS[:3])),
        "kontaktdatatype": contact_code,
        "kontaktdata": draw(plain_value(contact_code)),
        "registreret": draw(plain_times),
        "reference": draw(st.sampled_from(["", "r1"])),
    }


def csv_field(text: str, separator: str, always: bool = False) -> str:
    """A field by RFC 4180, quoted where it must be."""
    if always or separator in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text


SPOILED_LINES = listed(
    '"|""|";|"a"b;c;d;e;f| "a";b;c;d;e|"a;b;c;d;e|a;b;c;d;e"|a;"b""c";d;e;f|a;"b"";d;e;f'
    "|'a;b';c;d;e;f|a;b|;;;;;;;|;;;;|,,,,|a;b;c;d;e|#|\x00|\ufeff|\r|\u2028|| |\t\u00a0"
)


@st.composite
def csv_lines(draw: st.DrawFn, separator: str = ";", columns: list[str] | None = None) -> str:
    """One line without its ending: mostly a record, else one that is spoiled, too short, too long or blank."""
    record = draw(st.one_of(records(), plain_records()))
    always = draw(st.booleans())
    # A line break inside a field would be two lines.
    fields = [csv_field(record.get(column, "x").replace("\n", " "), separator, always) for column in columns or COLUMNS]
    fate = draw(st.sampled_from(["as is"] * 8 + ["short", "long", "mark", "blanks", "spoiled"]))
    if fate == "short":
        fields.pop()
    if fate == "long":
        fields.append("")
    line = separator.join(fields)
    if fate == "mark":
        place = draw(st.integers(0, len(line)))
        line = line[:place] + '"' + line[place:]
    if fate == "blanks":
        line = draw(st.sampled_from(WHITE)) + line + draw(st.sampled_from(WHITE))
    return draw(st.sampled_from(SPOILED_LINES)) if fate == "spoiled" else line


ENCODINGS = {"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-1": "latin-1"}
RAW_BYTES = [b"\xe6", b"\x81", b"\x8d", b"\xa0", b"\x85", b"\xc3", b"\xed\xa0\x80", b"\xff\xfe", b"\x00", b"\xc0\xaf"]


@st.composite
def csv_headers(draw: st.DrawFn) -> list[str]:
    """Column names in any order and case, sometimes with extra ones, sometimes with one missing or twice."""
    names = list(draw(st.permutations(COLUMNS)))
    fate = draw(st.sampled_from(["all"] * 6 + ["extra", "extra", "few", "missing", "twice", "blank"]))
    if fate == "extra":
        names.insert(draw(st.integers(0, 5)), draw(st.sampled_from(["navn", "", "x", "e-post"])))
    if fate == "few":
        names = [name for name in names if name not in ("registreret", "reference")]
    if fate == "missing":
        names.remove(draw(st.sampled_from(names)))
    if fate == "twice":
        names.append(draw(st.sampled_from(names)).upper())
    if fate == "blank":
        names = []
    dress = draw(st.sampled_from(["{}", "{}", " {}\u2003", "{}\t"]))
    names = [dress.format(name) for name in names]
    return [name.upper() for name in names] if draw(st.booleans()) else names


@st.composite
def csv_extracts(draw: st.DrawFn, encoding: str = "utf-8") -> bytes:
    """A whole small CSV extract, well-formed or not, in the bytes of an encoding of SPEC 2.2."""
    separator = draw(st.sampled_from([";", ";", ","]))
    header = draw(csv_headers())
    ending = draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r\n", b"\r\r\n"]))
    columns = [name.strip().casefold() for name in header]
    lines = [separator.join(header), *draw(st.lists(csv_lines(separator, columns), max_size=6))]
    content = b""
    for line in lines:
        raw = line.encode(ENCODINGS[encoding], "replace")
        if draw(st.integers(0, 19)) == 0:
            place = draw(st.integers(0, len(raw)))
            raw = raw[:place] + draw(st.sampled_from(RAW_BYTES)) + raw[place:]
        content += raw + ending
    if draw(st.booleans()):
        content = content.removesuffix(ending)
    return b"\xef\xbb\xbf" + content if draw(st.integers(0, 5)) == 0 else content


@st.composite
def json_messages(draw: st.DrawFn) -> str:
    """One line of JSON Lines: a message of SPEC 2.3, or nearly."""
    record = draw(st.one_of(records(), plain_records()))
    others = draw(st.lists(plain_records(), max_size=2))
    wrong: SearchStrategy[object] = st.sampled_from([None, 7, 1.0, True, [], {}, "", ["1"], "\ud800", -0, 10**30])
    right = st.integers(0, 9).map(lambda number: number > 0)
    elements: list[object] = []
    for each in [record, *others]:
        element: dict[str, object] = {key: each[key] for key in ["kontaktdatatype", "kontaktdata"]}
        if element["kontaktdatatype"] in ("1", "2", "3") and draw(st.booleans()):
            element["kontaktdatatype"] = int(each["kontaktdatatype"])
        for key in list(element):
            if not draw(right):
                element[key] = draw(wrong)
            elif not draw(right):
                del element[key]
        elements.append(element if draw(right) else draw(wrong))
    message: dict[str, object] = {key: record[key] for key in ["personnummer", "registreret", "reference"]}
    for key in list(message):
        if draw(st.integers(0, 29)) == 0:
            message[key] = draw(wrong)
        elif draw(st.integers(0, 9)) == 0:
            del message[key]
    message["kontaktinformationer"] = elements if draw(st.integers(0, 19)) else draw(wrong)
    if draw(st.integers(0, 9)) == 0:
        message["ukendt"] = draw(wrong)
    line = json.dumps(message, ensure_ascii=draw(st.booleans()))
    fate = draw(st.sampled_from(["as is"] * 12 + ["cut", "twice", "NaN", "padded", "deep", "tail"]))
    if fate == "cut":
        line = line[: draw(st.integers(0, len(line)))]
    if fate == "twice":
        key = draw(
            st.sampled_from(["personnummer", "kontaktdatatype", "kontaktdata", "kontaktinformationer", "ukendt"])
        )
        line = line.replace(f'"{key}"', f'"{key}": null, "{key}"', 1)
    if fate == "NaN":
        line = line.replace("{", '{"x": ' + draw(st.sampled_from(["NaN", "-Infinity", "1e999", "01", "1."])) + ", ", 1)
    if fate == "padded":
        line = draw(st.sampled_from(WHITE)) + line + draw(st.sampled_from(WHITE))
    if fate == "deep":
        line = line.replace("{", '{"x": ' + "[" * 200_000 + "]" * 200_000 + ", ", 1)
    if fate == "tail":
        line += draw(st.sampled_from([",", "}", " {}", " null", "\x00", "//"]))
    return line


@st.composite
def json_extracts(draw: st.DrawFn) -> bytes:
    """A whole small JSON Lines extract."""
    blank = st.sampled_from(["", " ", "\t", "\u00a0", "null", "[]", "{}", "7"])
    lines = draw(st.lists(st.one_of(json_messages(), json_messages(), json_messages(), blank), max_size=5))
    # A half character cannot be written as UTF-8; as bytes it is a line that is not decodable.
    content = b"".join(
        line.replace("\n", " ").encode("utf-8", "surrogatepass") + draw(st.sampled_from([b"\n", b"\r\n"]))
        for line in lines
    )
    return b"\xef\xbb\xbf" + content if draw(st.integers(0, 5)) == 0 else content


# --- what is known about the citizens -----------------------------------------------------------


@st.composite
def periods(draw: st.DrawFn) -> tuple[date, date | None]:
    """Days near the as-of date."""
    begin = AS_OF + timedelta(days=draw(st.sampled_from([-400, -30, -1, 0, 1])))
    length = draw(st.sampled_from([None, 0, 1, 29, 30, 31, 400]))
    return begin, None if length is None else begin + timedelta(days=length)


@st.composite
def known(draw: st.DrawFn, actors: list[str]) -> ReferenceRows:
    """Reference data about CITIZENS: most are known, alive and somebody's own."""
    rows = ReferenceRows()
    for number in CITIZENS:
        if draw(st.integers(0, 5)):
            rows.citizens.append((number, draw(st.sampled_from(["01", "01", "01", "03", "70", "80", "90"]))))
        for actor in actors:
            if draw(st.booleans()):
                rows.relations.append((number, actor, "own", date(2020, 1, 2), None))
            for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
                kind = draw(st.sampled_from(["own", "own", "own", "guest", "external-own", "external-guest"]))
                rows.relations.append((number, actor, kind, *draw(periods())))
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            channel = draw(st.sampled_from(["email", "email", "sms"]))
            rows.subscriptions.append((number, channel, "1", *draw(periods())))
    return rows
