"""Values for the proof of equality: what actors send, and what is made to be awkward, all of it invented.

`values_of` draws a block of one kind. The same seed and number of a block give the same values, so a block can be
judged anywhere and again. Half of a block is realistic (few odd values, spelt as people and programs spell), half
starts from something valid and does something to it: random general text finds nothing (TRAPS.md).
"""

# ruff: noqa: DTZ001 (times without a zone are what many actors send)

import string
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from random import Random

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

KINDS = ("phone", "email", "cpr", "time")

BLANKS = [" ", " ", " ", "-", ".", "/", "(", ")", "\u00a0", "\u2013", "\u2212", "\u200b", "\u00ad", "\u3000", "  "]
ODD_SIGNS = [
    *"\t\0\x7fx#*,;:~[]_'&+@\\\"<>|=%!?^`{}$",
    *("ext", "ext.", ";ext=", "##", ",,", "tel:", ";phone-context=+45", ";isub=1", "lok. 3", "O", "l", "p", "w"),
    *("\uff0b", "\ufe62", "\u207a", "\u202f", "\u2009", "\u200e", "\u202a", "\ufeff", "\u0301", "\x85", "\u2028"),
    *("½", "²", "①", "Ⅷ", "ー", "一", "🙂", "ø", "é", "º", "\uff0d", "\uff0e", "\uff0f", "\uff5e", "\u2060", "\u180e"),
]
ZEROS = ["０", "٠", "۰", "०", "𝟎", "๐", "᠐"]
"""The digit zero in other scripts."""


def values_of(kind: str, seed: int, block: int, size: int) -> list[str]:
    """A block of values of a kind, trimmed as `evaluate` trims them before they are judged."""
    random = Random(f"{kind} {seed} {block}")
    realistic, adversarial = _WAYS[kind]
    return [(adversarial if place % 2 else realistic)(random).strip() for place in range(size)]


# --- what is done to texts ------------------------------------------------------------------------------------------


def worn(random: Random, text: str, signs: list[str]) -> str:
    """The text with one to three characters dropped, doubled, replaced or put in."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        place = random.choice((0, len(text), random.randint(0, len(text)), random.randint(0, len(text))))
        sign = random.choice(signs)
        text = random.choice(
            (
                text[:place] + sign + text[place:],
                text[:place] + sign + text[place + 1 :],
                text[:place] + text[place + 1 :],
                text[:place] + text[place : place + 1] + text[place:],
            )
        )
    return text


def in_other_digits(random: Random, text: str) -> str:
    zero = random.choice(ZEROS)
    return "".join(chr(ord(zero) + int(sign)) if sign in string.digits else sign for sign in text)


def digits(random: Random, length: int) -> str:
    return f"{random.randrange(10**length):0{length}}" if length else ""


# --- phone numbers --------------------------------------------------------------------------------------------------


@cache
def example_numbers() -> list[tuple[str, str]]:
    """The example numbers of every region, calling code and type, as calling code and national number."""
    found = [
        phonenumbers.example_number_for_type(region, number_type)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for number_type in phonenumbers.PhoneNumberType.values()
    ]
    found += map(phonenumbers.example_number_for_non_geo_entity, phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    return sorted(
        {
            (str(number.country_code), phonenumbers.national_significant_number(number))
            for number in found
            if number is not None
        }
    )


@cache
def short_numbers() -> list[tuple[str, str]]:
    return [(code, national) for code, national in example_numbers() if len(code + national) <= 8]


def realistic_phone(random: Random) -> str:
    chance = random.random()
    if chance < 0.75:
        # Seven in eight begin as Danish numbers do; the rest is anything of eight digits.
        number = random.choice("23456789")[: random.random() < 0.875] or random.choice("01")
        number += digits(random, 7)
        pairs = [number[place : place + 2] for place in range(0, 8, 2)]
        return random.choice(
            (
                number,
                number,
                f"+45{number}",
                f"0045{number}",
                f"45{number}",
                f"+45 {' '.join(pairs)}",
                " ".join(pairs),
                "-".join(pairs),
                f"{number[:4]} {number[4:]}",
                f"(+45) {number}",
            )
        )
    if chance < 0.97:
        code, national = random.choice(example_numbers())
        national = national[: random.randint(1, len(national))]
        national += digits(random, max(0, random.choice((0, 0, 0, 1, -1)) + random.randint(4, 10) - len(national)))
        return random.choice(("+{}{}", "00{}{}", "+{} {}", "+{} (0){}", "+{}-{}", "00 {} {}")).format(code, national)
    return random.choice(("tlf. {}", "{} lok. 2", "{}#12", "{},", "'{}", "{} / {}", "?", "ukendt", "{}x")).replace(
        "{}", "2" + digits(random, 7)
    )


_HEADS = (
    "+{}",
    "+{}",
    "00{}",
    "{}",
    "",
    "+{}(0)",
    "(+{})",
    "+00{}",
    "++{}",
    "+ {}",
    "(00{})",
    "0",
    "+{}0",
    "+{}8",
    "tel:+{}",
)
_TAILS = (
    "",
    "",
    "",
    "",
    ";ext=7",
    " x12",
    "#4",
    ",5",
    ";6",
    " ext. 3",
    ";phone-context=+45",
    ";isub=1",
    "*1",
    "~9",
    ".",
    ")",
    "\u202c",
)


def adversarial_phone(random: Random) -> str:
    chance = random.random()
    if chance < 0.15:
        return random.choice(("", "", "+", "00", "45", "+45", "0045", "+0045")) + digits(random, random.randint(1, 17))
    if chance < 0.18:
        # As short as a Danish number, and international.
        return random.choice(("00{}{}", "+{}{}", "00 {} {}")).format(*random.choice(short_numbers()))
    code, national = (
        random.choice(example_numbers()) if chance < 0.8 else ("45", random.choice("2345678") + digits(random, 7))
    )
    change = random.random()
    if change < 0.35:
        place = random.randrange(len(national))
        national = national[:place] + random.choice(("", "0", "9", "12", digits(random, 1))) + national[place + 1 :]
    elif change < 0.6:
        # The leading digits tell the kind of number, the others only how many there are.
        kept = random.randint(1, len(national))
        national = national[:kept] + digits(random, len(national) - kept)
    text = random.choice(_HEADS).format(code) + national
    if random.random() < 0.6:
        blanks = [*BLANKS[: random.choice((1, 8, len(BLANKS)))], *[""] * 12]
        text = "".join(sign + random.choice(blanks) for sign in text)
    text += random.choice(_TAILS)
    if random.random() < 0.4:
        text = worn(random, text, ODD_SIGNS + BLANKS)
    if random.random() < 0.02:
        place = random.randrange(len(text) + 1)
        text = f"{text[:place]}{random.choice(('+', random.choice(ZEROS)))}{text[place:]}"
    if random.random() < 0.002:
        text = text[:1] + random.choice(" -\u00a0") * random.randint(235, 260) + text[1:]
    return in_other_digits(random, text) if random.random() < 0.06 else text


# --- email addresses ------------------------------------------------------------------------------------------------

_NAMES = ("anna", "bo", "søren", "Åse", "jens.hansen", "o'neil", "a+b", "mette_k", "KAJ", "ib-erik", "x")
_HOSTS = (
    "example.com",
    "example.net",
    "mail.example.org",
    "Example.COM",
    "post.example.dk",
    "a-b.dk",
    "bøf.dk",
    "x1.dk",
)
_LABEL_SIGNS = [
    *"abcxyz019-",
    *"abcxyz",
    *"AZ",
    *"æøåé",
    "ß",
    "ö",
    "xn--",
    "--",
    "日",
    "א",
    "ı",
    "İ",
    "K",
    "ｘ",
    "_",
    "\u0301",
]
_ADDRESS_SIGNS = [
    *ODD_SIGNS,
    *(
        "@",
        ".",
        "..",
        "-",
        "--",
        " ",
        "\u00a0",
        '"',
        "<",
        ">",
        "(",
        "[",
        "]",
        "A",
        "1",
        "\n",
        "xn--",
        "\u0338",
        "。",
        "．",
    ),
]
_TOPS = ("dk", "com", "DK", "org", "name", "museum", "travel", "д", "рф", "xn--p1ai", "d1", "1", "d-", "k", "中国")
_LOCAL_SIGNS = [
    *(string.ascii_letters + string.digits),
    *"!#$%&'*+-/=?^_`{|}~....",
    *"æøåÆØÅéüñß×÷ÿ",
    "\u0301",
    "ﬁ",
    "İ",
    "日",
    "א",
    "ø\u0308",
]


def realistic_email(random: Random) -> str:
    name = f"{random.choice(_NAMES)}{digits(random, random.randint(0, 6))}"
    value = f"{name}@{random.choice(_HOSTS)}"
    if random.random() < 0.9:
        return value
    return random.choice(
        (
            value.upper(),
            f"Jens <{value}>",
            f"{value}; {value}",
            f"{value},",
            value.replace("@", " @ "),
            value.replace("@", ""),
            f"mailto:{value}",
            f"{random.choice(CASE_INSENSITIVE_MAILBOX_NAMES).upper()}@{random.choice(_HOSTS)}",
            f"{name}@{digits(random, 3)}.{random.choice(SPECIAL_USE_DOMAIN_NAMES)}",
            f"{name}@xn--bf-lka.dk",
            f"{name}@example",
            digits(random, 8),
        )
    )


def adversarial_email(random: Random) -> str:
    chance = random.random()
    local = "".join(random.choices(_LOCAL_SIGNS, k=random.randint(1, 12)))
    if chance < 0.1:
        local = random.choice(("a", "ø", "aø")) * random.randint(28, 70)
    elif chance < 0.2:
        local = random.choice((*CASE_INSENSITIVE_MAILBOX_NAMES, '"a b"', '"a"', "a..b", ".a", "a.", "a(b)", ""))
        local = random.choice((local, local.title(), local.upper()))
    elif chance < 0.4:
        local = f"{random.choice(_NAMES)}{digits(random, 4)}"
    labels = [_label(random) for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3)))]
    if random.random() < 0.03:
        labels = [random.choice(("a", "ø")) * random.randint(25, 64) for _ in range(random.randint(2, 5))]
    if random.random() < 0.03:
        # About the limits of a label, of the part before the at-sign, and of what is short.
        local, labels = "a" * random.choice((1, 1, 2, 63, 64, 65)), ["x" * random.choice((1, 57, 58, 62, 63, 64, 65))]
    top = random.choice(_TOPS)
    if random.random() < 0.08:
        top = random.choice(SPECIAL_USE_DOMAIN_NAMES)
        top = random.choice((top, top.upper(), f"x{top}", f"{top}.dk", f"in-addr.{top}"))
    value = f"{local}@{'.'.join([*labels, top])}"
    return worn(random, value, _ADDRESS_SIGNS) if random.random() < 0.35 else value


def _label(random: Random) -> str:
    chance = random.random()
    if chance < 0.4:
        return "".join(random.choices(string.ascii_letters + string.digits, k=random.randint(1, 12)))
    label = "".join(random.choices(_LABEL_SIGNS, k=random.randint(1, 8)))
    if chance < 0.6:
        return label
    if chance < 0.7:
        return f"xn--{label.encode('punycode', 'ignore').decode('ascii', 'ignore')}"
    return "-".join("".join(random.choices("abc019æø", k=random.randint(1, 5))) for _ in range(random.randint(1, 3)))


# --- CPR numbers ----------------------------------------------------------------------------------------------------


def realistic_cpr(random: Random) -> str:
    text = f"{random.randint(1, 31):02}{random.randint(1, 12):02}{digits(random, 6)}"
    return f"{text[:6]}-{text[6:]}" if random.random() < 0.2 else text


_CPR_SIGNS = [*"-- –/_A.Ol", "é", "٣", "０", "\0", "🙂", "\u00a0", "\u200b", *string.digits, ":", "/", ";"]


def adversarial_cpr(random: Random) -> str:
    if random.random() < 0.1:
        return digits(random, random.choice((10, 10, 10, 9, 11, 0)))
    day = random.choice((0, 1, 28, 29, 29, 30, 31, 32, 60, 61, 91, 92, random.randint(1, 31)))
    month = random.choice((0, 1, 2, 2, 4, 6, 9, 11, 12, 13, random.randint(1, 12)))
    text = f"{day:02}{month:02}{digits(random, 6)}"
    if random.random() < 0.35:
        place = random.choice((6, 6, 6, 6, 5, 7, 0, 10))
        text = text[:place] + random.choice(("-", "-", "-", "-", "--", " ", "–", "")) + text[place:]
    if random.random() < 0.35:
        text = worn(random, text, _CPR_SIGNS)
    if random.random() < 0.01:
        return random.choice(("0000000000", "000000-0000", "0000000001", "0" * 11))
    return in_other_digits(random, text) if random.random() < 0.02 else text


# --- times ----------------------------------------------------------------------------------------------------------

_CLOCKS = ("", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S", " %H:%M:%S", "T%H:%M:%S.%f", " %H:%M", "T%H", "t%H:%M:%S", "_%H:%M")
_OFFSETS = (
    "",
    "",
    "",
    "Z",
    "Z",
    "+01:00",
    "+02:00",
    "-05:30",
    "+00:00",
    "-00:00",
    "+23:59",
    "+24:00",
    "+0100",
    "+01",
    "z",
    " Z",
    " 01:00",
)
_BASIC = (
    "%Y%m%d",
    "%Y%m%dT%H%M%S",
    "%Y%m%dT%H%M%S",
    "%Y%m%d %H%M%S",
    "%Y%m%dT%H%M",
    "%G-W%V-%u",
    "%GW%V%uT%H%M",
    "%Y-%j",
    "%d-%m-%Y",
)
_TIME_SIGNS = [*"0123456789", *"-:.,+TZ ", "24", "60", "٣", "é", "\0", "W", "🙂"]
_NO_YEAR_BELOW_1000 = 1_000
# The clock changes on these days (and much else happens in the zone of Copenhagen before 1950).
_DAYS_OF_CHANGE = (
    datetime(2025, 3, 30),
    datetime(2025, 10, 26),
    datetime(1980, 4, 6),
    datetime(1893, 12, 31),
    datetime(1940, 5, 15),
)
_START = datetime(1970, 1, 1)


def realistic_time(random: Random) -> str:
    moment = _START + timedelta(
        seconds=random.randint(1_640_000_000, 1_830_000_000), microseconds=random.randrange(10**6)
    )
    if random.random() < 0.1:
        return moment.strftime(random.choice(_BASIC))
    text = moment.strftime("%Y-%m-%d" + random.choice(_CLOCKS[:7]))
    if random.random() < 0.1 and text[-7:-6] == ".":
        text = text[:-3]
    return text + random.choice(_OFFSETS[:8])


def adversarial_time(random: Random) -> str:
    chance = random.random()
    if chance < 0.25:
        moment = random.choice(_DAYS_OF_CHANGE) + timedelta(minutes=random.randint(-1_500, 3_000))
    elif chance < 0.75:
        moment = datetime(1, 1, 1) + timedelta(seconds=random.randrange(315_537_897_600))
    else:
        moment = random.choice((datetime(1, 1, 1), datetime(9999, 12, 31))) + timedelta(
            seconds=random.randrange(86_400)
        )
    if random.random() < 0.15 and moment.year >= _NO_YEAR_BELOW_1000:
        text = moment.strftime(random.choice(_BASIC))
    elif random.random() < 0.3:
        # A date or a time of day that need not exist.
        text = (
            f"{random.choice((0, 1, 1900, 2000, 2023, 2024, 9999)):04}-{random.choice((0, 1, 2, 2, 4, 12, 13)):02}"
            f"-{random.choice((0, 1, 28, 29, 30, 31, 32)):02}T{random.choice((0, 9, 23, 24)):02}"
            f":{random.choice((0, 59, 60)):02}:{random.choice((0, 59, 60)):02}"
        )[: random.choice((10, 16, 19, 19))] + random.choice(_OFFSETS)
    else:
        form = random.choice(("hours", "minutes", "seconds", "milliseconds", "microseconds", "auto"))
        text = moment.isoformat(random.choice("TTT  t_"), form) + random.choice(_OFFSETS)
    return worn(random, text, _TIME_SIGNS) if random.random() < 0.3 else text


_WAYS: dict[str, tuple[Callable[[Random], str], Callable[[Random], str]]] = {
    "phone": (realistic_phone, adversarial_phone),
    "email": (realistic_email, adversarial_email),
    "cpr": (realistic_cpr, adversarial_cpr),
    "time": (realistic_time, adversarial_time),
}
