"""The states a report can be in, each as a folder with its pages: what tests open, and what people look at.

``python tests/report_states.py FOLDER`` writes them all, and ``FOLDER/<state>.png`` of each first page.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from report_example import Example, ExampleActor, ExampleExtract, example, refusal

from afstem.finding_memory import Mending, SinceLast
from afstem.report.nights import ActorNight, Night

TODAY = date(2026, 11, 23)

LONG_NAME = "Arbejdsmarkeds- og Integrationsforvaltningen, Nørre Lyndelse"

TYPES = ("a-kasse", "jobcenter", "kommune", "anden-aktoer")


@dataclass(frozen=True)
class State:
    """A run, and what its report looks back on."""

    run: Example
    past: Sequence[Night] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        return self.run.write(folder, self.past, **self.more)


def nights(actors: Mapping[str, Mapping[int, int]], count: int = 40) -> list[Night]:
    """The nights before `TODAY`, newest first, on which these actors had about so many findings by code, and on Mondays
    three times as many."""
    past = []
    for ago in range(1, count + 1):
        day = TODAY - timedelta(days=ago)
        times = 3 if day.weekday() == 0 else 1
        of_night = {
            actor: ActorNight(
                came=True,
                records=1_000 * times,
                rejected=sum(findings.values()) * times,
                findings={code: number * times + ago % 5 for code, number in findings.items()},
                new=3,
                recurring=5,
                resolved=2,
            )
            for actor, findings in actors.items()
        }
        past.append(Night(f"{day:%Y%m%d}T030000Z-{ago:06x}", day, of_night))
    return past


def delivery(actor: str, refusals: Sequence[Any] = (), **others: int) -> ExampleExtract:
    digest = f"{sum(map(ord, actor)):x}{len(refusals):x}".rjust(12, "0") * 6
    return ExampleExtract(actor, "kontaktdata.csv", digest[:64], rejected=refusals, others={"mobile": others})


def too_short(count: int) -> list[Any]:
    return [refusal(number, "20 12 34", (9156, "too-short")) for number in range(1, count + 1)]


def everything() -> State:
    """Every delivery, every state, every code, hostile texts everywhere, and a past."""
    run = example()
    busy = ExampleExtract(
        "kommune-2",
        "nyt.csv",
        "ab" * 32,
        rejected=too_short(70),
        noticed=[(code, number) for code in ("N1", "N2", "N3", "N4", "N5") for number in range(71, 80)],
        others={"mobile": {"applied": 900, "unchanged": 30}},
    )
    past = nights({"kommune-2": {9156: 5, 9158: 2}, "jobcenter-75100": {9156: 40}, "star-1": {}})
    mending = {
        "kommune-2": Mending(60, 10, 4, past[30].run_id, 9156, 6.5),
        "jobcenter-75100": Mending(2, 5, 0, past[3].run_id, 9155, None),
    }
    since_last = {"kommune-2": SinceLast(14, 3, 10, 1, 60, 1), "jobcenter-75100": SinceLast(5, 0, 5, 0, 2, 0)}
    more = {"mending": mending, "since_last": since_last, "deadline": "06:00"}
    return State(replace(run, extracts=[*run.extracts, busy]), past, more)


def first_run() -> State:
    return State(Example([ExampleActor("kommune-1", "Lyngsted")], [delivery("kommune-1", too_short(3), applied=900)]))


def nothing_rejected() -> State:
    run = Example([ExampleActor("kommune-1", "Lyngsted")], [delivery("kommune-1", applied=3, unchanged=9_000)])
    return State(run, nights({"kommune-1": {9156: 4}}))


def nobody_delivered() -> State:
    """Two that come every night did not, and one could not be reached."""
    actors = [
        ExampleActor("kommune-1", "Lyngsted", delivery="nothing"),
        ExampleActor("star-1", "STAR", "star", "nothing"),
        ExampleActor("a-kasse-1", "A-kassen", "a-kasse", "unavailable", "no-such-folder"),
    ]
    return State(Example(actors, []), nights({"kommune-1": {9156: 4}, "star-1": {}}))


def nothing_read() -> State:
    """Everything that came was refused, as after a change of format, or where the run went wrong."""
    actors = [ExampleActor(f"kommune-{number}", f"Lyngsted {number}") for number in range(1, 4)]
    refused = [
        ExampleExtract(actor.id, "kontaktdata.csv.gz", f"{place}c" * 32, state="refused", code=1014, reason="gzip")
        for place, actor in enumerate(actors, 1)
    ]
    return State(Example(actors, refused), nights({actor.id: {9156: 4} for actor in actors}))


def no_actors() -> State:
    return State(Example([], []))


def many_actors(count: int = 300) -> State:
    actors = [
        ExampleActor(f"{TYPES[number % 4]}-{number:03}", f"Aktør {number:03}", TYPES[number % 4])
        for number in range(count)
    ]
    extracts = [
        delivery(
            actor.id,
            [refusal(at, "x", (CODES[(number + at) % 8], "too-short")) for at in range(1, 2 + number % 30)],
            applied=10 * number,
            unchanged=1_000,
        )
        for number, actor in enumerate(actors)
    ]
    past = nights({actor.id: {9156: number % 7} for number, actor in enumerate(actors)}, 30)
    return State(Example(actors, extracts), past)


CODES = (1001, 1010, 4575, 4405, 9153, 9156, 9157, 9158)


def long_names() -> State:
    """Names of 60 characters, one of them without a place to break it."""
    names = (LONG_NAME, LONG_NAME[:40].replace(" ", "").ljust(60, "x"), LONG_NAME[::-1])
    actors = [ExampleActor(f"kommune-{number}", name) for number, name in enumerate(names)]
    files = [
        replace(delivery(actor.id, too_short(30), applied=5), file=f"{'kontaktdata-' * 8}.csv") for actor in actors
    ]
    return State(Example(actors, files), nights({actor.id: {9156: 2} for actor in actors}))


def unknown_code() -> State:
    """Data of another version, or of a code that came later."""
    refusals = [refusal(1, "x", (9999, "no-idea")), refusal(2, "12", (9156, "of-another-version"))]
    past = nights({"kommune-1": {9999: 2, 9156: 1}})
    return State(Example([ExampleActor("kommune-1", "Lyngsted")], [delivery("kommune-1", refusals, applied=5)]), past)


def dry_run() -> State:
    state = everything()
    return replace(state, run=replace(state.run, dry_run=True))


STATES: Mapping[str, Callable[[], State]] = {
    state.__name__.replace("_", "-"): state
    for state in (
        everything,
        first_run,
        nothing_rejected,
        nobody_delivered,
        nothing_read,
        no_actors,
        many_actors,
        long_names,
        unknown_code,
        dry_run,
    )
}


def main(folder: Path) -> None:
    from browser import MISSING, find_browser, open_browser

    path = find_browser()
    if path is None:
        sys.exit(MISSING)
    with open_browser(path) as browser:
        for name, state in STATES.items():
            run = state().write(folder / name)
            with browser.context(viewport={"width": 1440, "height": 900}, offline=True) as context:
                page = context.new_page()
                page.goto((run / "index.html").resolve().as_uri())
                page.screenshot(path=folder / f"{name}.png", full_page=name != "many-actors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
