"""What an odd record is: one row of the tables in `dirt` and `curiosities`, and what a row may draw upon."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from afstem.sample.layouts import Draft, Layout

Change = Callable[[Draft, "Scene"], Draft]
Where = Callable[[Layout], bool]


@dataclass
class Scene:
    """What stands around the record that is made odd.

    ``citizens`` holds, by the names of `POOLS`, CPR numbers of citizens as they stand to the actor; ``near`` is an
    ordinary record of the same extract.
    """

    rng: random.Random
    citizens: Mapping[str, Sequence[int]]
    near: Draft

    def citizen(self, pool: str) -> str:
        """Ten digits."""
        return f"{self.rng.choice(self.citizens[pool]):010}"

    def one_of(self, *texts: str) -> str:
        return self.rng.choice(texts)

    def mobile(self) -> str:
        """A number that is good as a mobile and as a landline number."""
        return f"2{self.rng.randrange(60, 90)}{self.rng.randrange(100_000):05}"

    def word(self) -> str:
        return self.rng.choice(("borger", "post", "kontakt", "mig", "hjemme")) + str(self.rng.randrange(1000, 100_000))


POOLS = (
    "own",  # alive, may be written, stands in ordinary records
    "own-from-early-in-a-month",  # the number begins with 0
    "quiet",  # alive, may be written, stands nowhere else and has nothing stored
    "dead",
    "subscribed",  # alive, may be written, has an email subscription
    "expired",  # alive, may be written, had an email subscription, has none
    "texted",  # alive, may be written, has an SMS subscription
    "stranger",  # nothing to do with the actor
    "guest",  # guest access only
    "former",  # was the actor's own, and that gives its organisation type no access
    "future",  # will be the actor's own
    "nobody",  # no such citizen
)


def as_it_is(draft: Draft, scene: Scene) -> Draft:
    return draft


def anywhere(layout: Layout) -> bool:
    return True


@dataclass(frozen=True)
class Oddity:
    """One kind of odd record.

    Made by changing the fields of an ordinary record of a citizen whom the actor may write (``change``), and then
    perhaps the line that it has become (``line``, without its ending). ``code`` is the primary code it is meant to
    reach, None if it is to be accepted. ``needs`` names the pool of citizens it draws on, ``where`` says in which
    layouts it can stand. It is met ``weight`` times as often as others, at least ``copies`` times, and counts as
    ``records`` records.
    """

    name: str
    code: int | None
    change: Change = as_it_is
    line: Callable[[str, Draft], str] | None = None
    needs: str = "own"
    where: Where = anywhere
    weight: int = 3
    copies: int = 1
    records: int = 1


# --- where ----------------------------------------------------------------------------------------------------------


def in_csv(layout: Layout) -> bool:
    return layout.format == "csv"


def in_json(layout: Layout) -> bool:
    return layout.format == "jsonl"


def in_lines(layout: Layout) -> bool:
    return layout.format != "parquet"


def in_unicode(layout: Layout) -> bool:
    return layout.encoding == "utf-8"


def with_undecodable_bytes(layout: Layout) -> bool:
    return layout.encoding != "iso-8859-1"


def with_text_in(column: str) -> Where:
    """Where the extract has this column and takes any text in it."""
    return lambda layout: layout.holds_any_text(column)


# --- changes --------------------------------------------------------------------------------------------------------


def number(change: Callable[[str, Scene], str]) -> Change:
    """Another ``personnummer``, made of the citizen's ten digits."""

    def changed(draft: Draft, scene: Scene) -> Draft:
        digits = (draft.personnummer or "").replace("-", "")
        return replace(draft, personnummer=change(digits, scene))

    return changed


def about(pool: str) -> Change:
    """A good mobile number of a citizen from this pool."""
    return lambda draft, scene: replace(
        draft, personnummer=scene.citizen(pool), kontaktdatatype="1", kontaktdata=scene.mobile()
    )


def value(code: str, *texts: str) -> Change:
    """One of these texts as the value, for this identifier of the codelist.

    In a text, ``{number}`` is a good telephone number, ``{word}`` a word, ``{cpr}`` the citizen's CPR number.
    """
    return lambda draft, scene: replace(
        draft, kontaktdatatype=code, kontaktdata=filled(scene.one_of(*texts), draft, scene)
    )


def removal(code: str, pool: str, blank: str | None = None) -> Change:
    """Removes this contact type of a citizen from the pool."""
    return lambda draft, scene: replace(
        draft, personnummer=scene.citizen(pool), kontaktdatatype=code, kontaktdata=blank
    )


def text(column: str, *texts: str) -> Change:
    """One of these texts in one column."""

    def changed(draft: Draft, scene: Scene) -> Draft:
        return replace(draft, **{column: filled(scene.one_of(*texts), draft, scene)})

    return changed


def both(first: Change, second: Change) -> Change:
    return lambda draft, scene: second(first(draft, scene), scene)


def filled(template: str, draft: Draft, scene: Scene) -> str:
    if "{" not in template:
        return template
    digits = (draft.personnummer or "").replace("-", "")
    for mark, content in (("{number}", scene.mobile()), ("{word}", scene.word()), ("{cpr}", digits)):
        template = template.replace(mark, content)
    return template
