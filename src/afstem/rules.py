"""The rules: one row per error code, in the order in which they become a record's primary code (SPEC 4.3).

A rule is a predicate over the columns of a batch (columns in, one boolean column out), the codes that silence
it, and the texts that go with it. A predicate queries nothing, reads no clock and does not know its code. The notices
(SPEC 4.6) stand after the rules: what is accepted all the same, but looks wrong.

To add an error code: write its predicate, add its row to `RULES`, add a case page (CONTRIBUTING.md shows how).
To add a contact type: add a member to `schema.ContactType`, a row to `value_formats.py`, a rule for its value.

The table is also read where nothing is judged: `afstem explain` answers at once, because a predicate needs its columns
and no library, and a reason fetches what it needs when it is asked.

The official texts are quoted as STAR publishes them, spelling included: DFDG, Borgerkommunikation,
BorgerKontaktinformationService (Version 1), starwiki.atlassian.net/wiki/spaces/FYS/pages/4397334559.
Only 9155 to 9158 are published in Danish. The plain texts and whose move it is are this project's proposals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from afstem.schema import MALFORMED_REASONS, NO_CPR, ContactType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from afstem.suggestions import Suggestion

Bools: TypeAlias = "npt.NDArray[np.bool_]"
Ints: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True)
class Columns:
    """A batch of records as the rules see it; every column has one entry a record and no nulls.

    ``malformed`` is the place in `MALFORMED_REASONS` of why a record cannot be read, 0 where it can.
    ``personnummer`` and ``value`` are the trimmed texts ("" where nothing was given); ``number`` is the CPR number,
    `NO_CPR` where it is none. ``contact_type`` is a `ContactType`, negative where the codelist has none.
    The columns from ``known`` on are what the store knows on the as-of date, all false where ``number`` is none.
    """

    malformed: npt.NDArray[np.int8]
    personnummer: pa.StringArray
    number: Ints
    contact_type: npt.NDArray[np.int8]
    value: pa.StringArray
    removes: Bools
    acceptable: Bools
    known: Bools
    dead: Bools
    may_write: Bools
    email_subscribed: Bools


class WhoseMove(StrEnum):
    """Who can mend a finding."""

    CASEWORKER = "caseworker"
    IT = "it"
    ACCESS = "access"
    NOBODY = "nobody"
    """Nothing that anybody sends would be accepted, or nothing is wrong."""


class Family(StrEnum):
    """What an error code is about; the report draws the codes of a family together, in this order.

    Contact and identity are for caseworkers, message and access for IT and administration.
    """

    CONTACT = "contact"
    IDENTITY = "identity"
    MESSAGE = "message"
    ACCESS = "access"


@dataclass(frozen=True)
class Texts:
    """One text in the two languages of the report."""

    da: str
    en: str


@dataclass(frozen=True)
class Rule:
    """One error code: what raises it, what silences it, how it reads.

    ``predicate`` is None for a code that only a whole extract can get (SPEC 4.1). ``explain`` gives the reason
    slugs of the chosen records; without it the slug of the rule is the reason.
    """

    code: int
    slug: str
    family: Family
    predicate: Callable[[Columns], Bools] | None
    silenced_by: tuple[int, ...]
    official: Texts
    official_description: str
    plain: Texts
    fix: Texts
    whose_move: WhoseMove
    explain: Callable[[Columns, Ints], list[str]] | None = None
    suggest: Callable[[Columns, Ints, list[str]], list[Suggestion | None]] | None = None
    """What may have been meant by the chosen records, which have these reasons; None where nobody can tell."""
    needs_citizen: bool = False
    """Only the store can tell; an actor that checks its own file does not learn it."""
    about_value: bool = False
    """The finding is about the submitted value, so the rejections may show it (SPEC 6)."""
    follows_from: int | None = None
    """A record that has this code too has it for the same cause: what mends that mends this."""


@dataclass(frozen=True)
class Notice:
    """What makes an accepted record look wrong; it is never rejected for it.

    ``predicate`` is asked about the values of the contact type that it ``looks_at``, as they are stored, or, where that
    is None, about CPR numbers; it is None for `SHARED_VALUE`, which no value tells alone. ``rows_kept`` is how many are
    kept of an extract, one row each, those that stand first in it; all are counted.
    """

    code: str
    slug: str
    looks_at: ContactType | None
    predicate: Callable[[Any], Bools] | None
    plain: Texts
    fix: Texts
    whose_move: WhoseMove
    about_value: bool = True
    rows_kept: int = 1_000


# --- the predicates -------------------------------------------------------------------------------------------------


def is_malformed(columns: Columns) -> Bools:
    return columns.malformed != 0


def is_no_cpr_number(columns: Columns) -> Bools:
    return columns.number == NO_CPR


def is_unknown_citizen(columns: Columns) -> Bools:
    return ~columns.known


def may_not_write(columns: Columns) -> Bools:
    return ~columns.may_write


def is_dead(columns: Columns) -> Bools:
    return columns.dead


def has_unknown_contact_type(columns: Columns) -> Bools:
    return columns.contact_type < 0


def removes_subscribed_email(columns: Columns) -> Bools:
    return (columns.contact_type == ContactType.EMAIL) & columns.removes & columns.email_subscribed


def has_unacceptable(contact_type: ContactType) -> Callable[[Columns], Bools]:
    """The predicate that a value is given for this contact type and its format does not take it (`value_formats`)."""

    def has_unacceptable_value(columns: Columns) -> Bools:
        return (columns.contact_type == contact_type) & ~columns.removes & ~columns.acceptable

    return has_unacceptable_value


def are_mobile_only(numbers: pa.StringArray) -> Bools:
    from afstem import mobile_only

    return mobile_only.are_mobile_only(numbers)


def have_misspelt_domain(addresses: pa.StringArray) -> Bools:
    from afstem import email_domains

    return email_domains.are_misspelt(addresses)


def fail_modulus_11(numbers: Ints) -> Bools:
    from afstem import modulus_11

    return modulus_11.fail_modulus_11(numbers)


def hold_cpr_number(addresses: pa.StringArray) -> Bools:
    """Only an address can: what a library takes for a phone number is one, whatever its digits look like."""
    from afstem import masking

    return masking.hold_cpr_alone(addresses)


# --- the reasons ----------------------------------------------------------------------------------------------------


def _why_malformed(columns: Columns, at: Ints) -> list[str]:
    return [MALFORMED_REASONS[place] for place in columns.malformed[at]]


def _why_no_cpr_number(columns: Columns, at: Ints) -> list[str]:
    from afstem import cpr_number

    return [cpr_number.reason(text) for text in columns.personnummer.take(at).to_pylist()]


def _why_unacceptable(contact_type: ContactType) -> Callable[[Columns, Ints], list[str]]:
    def why(columns: Columns, at: Ints) -> list[str]:
        from afstem.value_formats import VALUE_FORMATS

        values = columns.value.take(at).dictionary_encode()
        slugs = [VALUE_FORMATS[contact_type].reason(value) for value in values.dictionary.to_pylist()]
        return [slugs[index] for index in values.indices.to_pylist()]

    return why


# --- the suggestions ------------------------------------------------------------------------------------------------


def _meant_numbers(columns: Columns, at: Ints, reasons: list[str]) -> list[Suggestion | None]:
    from afstem import suggestions

    return suggestions.for_cpr_numbers(columns.personnummer.take(at).to_pylist(), reasons)


def _meant_values(contact_type: ContactType) -> Callable[[Columns, Ints, list[str]], list[Suggestion | None]]:
    def meant(columns: Columns, at: Ints, reasons: list[str]) -> list[Suggestion | None]:
        from afstem import suggestions

        reason_of = dict(zip(columns.value.take(at).to_pylist(), reasons, strict=True))
        found = suggestions.for_values(contact_type, list(reason_of), list(reason_of.values()))
        meant_by = dict(zip(reason_of, found, strict=True))
        return [meant_by[value] for value in columns.value.take(at).to_pylist()]

    return meant


# --- the table ------------------------------------------------------------------------------------------------------

RULES = (
    Rule(
        code=1012,
        slug="logon-failed",
        family=Family.ACCESS,
        predicate=None,
        silenced_by=(),
        official=Texts("", "Logon failed"),
        official_description="Logon failed for user",
        plain=Texts("Login mislykkedes", "The login failed"),
        fix=Texts(
            "Kontrollér adgangen til kilden (bruger, nøgle, rettigheder til mappen) eller manifestet ved udtrækket.",
            "Check the access to the source (user, key, rights to the folder) or the manifest beside the extract.",
        ),
        whose_move=WhoseMove.IT,
    ),
    Rule(
        code=1013,
        slug="insufficient-permissions",
        family=Family.ACCESS,
        predicate=None,
        silenced_by=(),
        official=Texts("", "Insufficient permissions"),
        official_description="User has insufficient permissions to access this webservice",
        plain=Texts("Manglende rettigheder", "The permissions are insufficient"),
        fix=Texts(
            "Organisationstypen eller brugeren må ikke opdatere kontaktinformation. "
            "Kontakt adgangsstyringen, hvis det er en fejl.",
            "This type of organisation, or this user, may not update contact information. "
            "Ask access administration if that is wrong.",
        ),
        whose_move=WhoseMove.ACCESS,
    ),
    Rule(
        code=1014,
        slug="malformed-message",
        family=Family.MESSAGE,
        predicate=is_malformed,
        silenced_by=(),
        official=Texts("", "Failed to validate message"),
        official_description="The submitted message could not be validated",
        plain=Texts("Beskeden kunne ikke valideres", "The message could not be validated"),
        fix=Texts(
            "Ret udtrækkets format: kolonner, tegnsæt, tidspunkter. Årsagen står ved hver post.",
            "Mend the format of the extract: columns, encoding, times. The reason stands beside each record.",
        ),
        whose_move=WhoseMove.IT,
        explain=_why_malformed,
    ),
    Rule(
        code=1001,
        slug="no-cpr-number",
        family=Family.IDENTITY,
        predicate=is_no_cpr_number,
        silenced_by=(1014,),
        official=Texts("", "Invalid cpr"),
        official_description=(
            "The submitted cpr is either to long or short or contains data not interpretable as a date"
        ),
        plain=Texts("Ugyldigt CPR-nummer", "Not a CPR number"),
        fix=Texts(
            "Skriv ti cifre, hvor de første seks er en dato (DDMMÅÅ). Regneark fjerner ofte et 0 i starten. "
            "Erstatningsnumre kan ikke bruges.",
            "Write ten digits, the first six a date (DDMMYY). Spreadsheets often drop a leading 0. "
            "Replacement numbers cannot be used.",
        ),
        whose_move=WhoseMove.CASEWORKER,
        explain=_why_no_cpr_number,
        suggest=_meant_numbers,
    ),
    Rule(
        code=1010,
        slug="unknown-citizen",
        family=Family.IDENTITY,
        predicate=is_unknown_citizen,
        silenced_by=(1014, 1001),
        official=Texts("", "Unknown cpr"),
        official_description="The submitted cpr is unknown to the system",
        plain=Texts("Ukendt CPR-nummer", "No such citizen is known"),
        fix=Texts(
            "Kontrollér CPR-nummeret i sagen; borgeren skal være registreret.",
            "Check the CPR number in the case; the citizen must be registered.",
        ),
        whose_move=WhoseMove.CASEWORKER,
        needs_citizen=True,
    ),
    Rule(
        code=4575,
        slug="not-authorized",
        family=Family.ACCESS,
        predicate=may_not_write,
        silenced_by=(1014, 1001),
        official=Texts("", "You are not authorized"),
        official_description="You are not authorized to execute the operation",
        plain=Texts("Ikke autoriseret til handlingen", "Not authorised for this citizen"),
        fix=Texts(
            "Aktøren har ingen tilknytning til borgeren, der giver adgang på dagen. "
            "Ret tilknytningen, eller lad posten udgå.",
            "No relation gives the actor access to the citizen on this day. "
            "Mend the relation, or leave the record out.",
        ),
        whose_move=WhoseMove.ACCESS,
        needs_citizen=True,
        follows_from=1010,  # nobody has a relation to a citizen who is not there
    ),
    Rule(
        code=4405,
        slug="citizen-is-dead",
        family=Family.IDENTITY,
        predicate=is_dead,
        # Nobody learns about a citizen they may not write (SPEC 4.3): hence 1010 and 4575 here and below.
        silenced_by=(1014, 1001, 1010, 4575),
        official=Texts("", "The person with specified cpr is dead"),
        official_description="The person with specified cpr is dead",
        plain=Texts("Personen er død", "The person is dead"),
        fix=Texts(
            "Intet at rette: oplysninger om en død borger modtages ikke. Posten udgår, når sagen er afsluttet.",
            "Nothing to mend: nothing is accepted about a dead citizen. The record goes when the case is closed.",
        ),
        whose_move=WhoseMove.NOBODY,
        needs_citizen=True,
    ),
    Rule(
        code=9153,
        slug="unknown-contact-type",
        family=Family.MESSAGE,
        predicate=has_unknown_contact_type,
        silenced_by=(1014,),
        official=Texts("", "The submitted PersonContactDataTypeIdentifier is not a valid codelist value"),
        official_description="The submitted PersonContactDataTypeIdentifier is not a valid codelist value",
        plain=Texts("Ugyldig kontakttype", "Not a contact type of the codelist"),
        fix=Texts(
            "Brug en værdi fra kodelisten i kolonnen kontaktdatatype.",
            "Use a value of the codelist in the column kontaktdatatype.",
        ),
        whose_move=WhoseMove.IT,
    ),
    Rule(
        code=9155,
        slug="subscribed-email-removed",
        family=Family.CONTACT,
        predicate=removes_subscribed_email,
        silenced_by=(1014, 1001, 1010, 4575),
        official=Texts(
            "Email adresse kan ikke fjernes sålænge der er huskeservice abonnemet tilknyttet",
            "The mail address cannot be removed while a subscribtion for email notifications exists",
        ),
        official_description="The mail address cannot be removed while a subscribtion for email notifications exists",
        plain=Texts(
            "E-mail kan ikke fjernes, når der er et huskeserviceabonnement",
            "An email address cannot be removed while reminders go to it",
        ),
        fix=Texts(
            "Afmeld borgerens e-mailabonnement i Huskeservice, eller angiv en ny adresse i stedet for at fjerne den.",
            "Cancel the citizen's email reminders, or give a new address instead of removing the old one.",
        ),
        whose_move=WhoseMove.CASEWORKER,
        needs_citizen=True,
    ),
    Rule(
        code=9156,
        slug="unacceptable-mobile",
        family=Family.CONTACT,
        predicate=has_unacceptable(ContactType.MOBILE),
        silenced_by=(1014,),
        official=Texts("Det angivet mobiltelefonnummer er ikke validt", "The submitted mobile phone number is invalid"),
        official_description="The submitted mobile phone number is invalid",
        plain=Texts("Ugyldigt mobilnummer", "Not a mobile number"),
        fix=Texts(
            "Skriv et gyldigt mobilnummer: otte cifre, eller landekode og nummer for et udenlandsk.",
            "Write a valid mobile number: eight digits, or country code and number for a foreign one.",
        ),
        whose_move=WhoseMove.CASEWORKER,
        explain=_why_unacceptable(ContactType.MOBILE),
        suggest=_meant_values(ContactType.MOBILE),
        about_value=True,
    ),
    Rule(
        code=9157,
        slug="unacceptable-landline",
        family=Family.CONTACT,
        predicate=has_unacceptable(ContactType.LANDLINE),
        silenced_by=(1014,),
        official=Texts("Det angivet telefonnummer er ikke validt", "The submitted phone number is invalid"),
        official_description="The submitted phone number is invalid",
        plain=Texts("Ugyldigt telefonnummer", "Not a phone number"),
        fix=Texts(
            "Skriv et gyldigt telefonnummer: otte cifre, eller landekode og nummer for et udenlandsk.",
            "Write a valid phone number: eight digits, or country code and number for a foreign one.",
        ),
        whose_move=WhoseMove.CASEWORKER,
        explain=_why_unacceptable(ContactType.LANDLINE),
        suggest=_meant_values(ContactType.LANDLINE),
        about_value=True,
    ),
    Rule(
        code=9158,
        slug="unacceptable-email",
        family=Family.CONTACT,
        predicate=has_unacceptable(ContactType.EMAIL),
        silenced_by=(1014,),
        official=Texts("Den angive emailadresse er ikke valid", "The submitted mail address is invalid"),
        official_description="The submitted mail address is invalid",
        plain=Texts("Ugyldig e-mailadresse", "Not an email address"),
        fix=Texts(
            "Skriv én adresse på formen navn@domæne.dk, uden navn foran og uden mellemrum.",
            "Write one address in the form name@domain.dk, without a name before it and without blanks.",
        ),
        whose_move=WhoseMove.CASEWORKER,
        explain=_why_unacceptable(ContactType.EMAIL),
        suggest=_meant_values(ContactType.EMAIL),
        about_value=True,
    ),
)

RULE_OF_CODE = {rule.code: rule for rule in RULES}

NOTICES = (
    Notice(
        code="N1",
        slug="mobile-only-landline",
        looks_at=ContactType.LANDLINE,
        predicate=are_mobile_only,
        plain=Texts("Mobilnummer som fastnetnummer", "A mobile number as a landline"),
        fix=Texts(
            "Nummeret kan kun være et mobilnummer. Indberet det som mobil, så borgeren kan få sms.",
            "The number can only be a mobile number. Report it as mobile, so that the citizen can get text messages.",
        ),
        whose_move=WhoseMove.CASEWORKER,
    ),
    Notice(
        code="N2",
        slug="misspelt-domain",
        looks_at=ContactType.EMAIL,
        predicate=have_misspelt_domain,
        plain=Texts("E-maildomænet ligner en slåfejl", "The email domain looks misspelt"),
        fix=Texts(
            "Spørg borgeren, om adressen er stavet rigtigt: domænet er ét tegn fra et meget almindeligt.",
            "Ask the citizen whether the address is spelt right: the domain is one slip from a very common one.",
        ),
        whose_move=WhoseMove.CASEWORKER,
    ),
    Notice(
        code="N3",
        slug="shared-value",
        looks_at=None,
        predicate=None,
        plain=Texts("Samme værdi hos mange borgere", "One value on many citizens"),
        fix=Texts(
            "Flere end 10 borgere har samme nummer eller adresse. Er det en omstilling, en sagsbehandler eller en "
            "pladsholder, så lad feltet være tomt.",
            "More than 10 citizens have the same number or address. If it is a switchboard, a caseworker's or a "
            "placeholder, leave the field empty.",
        ),
        whose_move=WhoseMove.IT,
    ),
    Notice(
        code="N4",
        slug="fails-modulus-11",
        looks_at=None,
        predicate=fail_modulus_11,
        plain=Texts("CPR-nummer uden kontrolciffer", "A CPR number that fails modulus 11"),
        fix=Texts(
            "Nummeret er gyldigt: siden 2007 udstedes også numre, der ikke opfylder modulus 11. Mange på én gang kan "
            "være tastefejl.",
            "The number is valid: since 2007 numbers that fail modulus 11 are issued too. Many at once may be typos.",
        ),
        whose_move=WhoseMove.NOBODY,
        about_value=False,
        rows_kept=100,
    ),
    Notice(
        code="N5",
        slug="cpr-number-in-value",
        looks_at=ContactType.EMAIL,
        predicate=hold_cpr_number,
        plain=Texts("Noget, der ligner et CPR-nummer, i værdien", "Something like a CPR number in the value"),
        fix=Texts(
            "Et CPR-nummer hører ikke hjemme i en adresse eller et nummer. Slet eller ret værdien.",
            "A CPR number does not belong in an address or a number. Remove or mend the value.",
        ),
        whose_move=WhoseMove.CASEWORKER,
    ),
)

NOTICE_OF_CODE = {notice.code: notice for notice in NOTICES}

SHARED_VALUE = NOTICE_OF_CODE["N3"]
"""The one notice that a single record cannot tell."""
