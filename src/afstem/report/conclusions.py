"""What follows from the numbers of a run: what could be mended, and which checks hold.

Which of the first are shown is for `do_first` to say, and whether the run can be trusted for `trust`.
"""

from collections.abc import Iterable, Iterator, Sequence

from afstem.report.contents import ReportData
from afstem.report.do_first import ToDo, Why, why_findings
from afstem.report.trust import Check, minutes_left
from afstem.schema import Outcome


def todos(data: ReportData, missing: Iterable[str]) -> Iterator[ToDo]:
    """Everything that one contact to one actor could mend."""
    for actor in data.actors.values():
        usual = data.levels.records.get(actor.id)
        expected = None if usual is None else max(0, round(usual.usual) - actor.records) or None
        if actor.delivery == "unavailable":
            yield ToDo(actor.id, Why.UNAVAILABLE, expected, 0, reason=actor.reason, level=usual)
        elif actor.id in missing:
            yield ToDo(actor.id, Why.SILENT, expected, 0, level=usual)
        held = [extract for extract in actor.extracts if extract.state == "held"]
        if held:
            yield ToDo(actor.id, Why.HELD, actor.outcomes[Outcome.HELD] or None, len(held))
        for code, counts in actor.codes.items():
            of_code = {reason: number for (key, reason), number in actor.reasons.items() if key == code}
            if counts.extracts:
                reason = max(of_code, key=lambda slug: of_code[slug].extracts)
                yield ToDo(actor.id, Why.REFUSED, expected, counts.extracts, code, reason, usual)
            findings = counts.findings - counts.extracts
            if findings:
                level = data.levels.of_actor.get((actor.id, code))
                reason = max(of_code, key=lambda slug: of_code[slug].mendable)
                yield ToDo(actor.id, why_findings(findings, level), counts.mendable, findings, code, reason, level)


def checks(data: ReportData, missing: Sequence[str]) -> Iterator[Check]:
    """What was checked, in the order in which the report tells it."""
    yield Check("balance", True, {"records": data.records})
    yield Check("findings", True, {"findings": data.counts.findings})
    if not data.dry_run:
        yield Check("store", True, {"applied": data.outcomes[Outcome.APPLIED]})
    states = [extract.state for extract in data.extracts]
    nothing_read = not any(state in ("applied", "held", "already-applied") for state in states)
    if data.actors and nothing_read:
        yield Check("nothing_read", False, is_vital=True)
    silent = [actor.id for actor in data.actors.values() if actor.delivery == "nothing"]
    delivered = sum(actor.delivery == "delivered" for actor in data.actors.values())
    counted = {"actors": len(data.actors), "actors_delivered": delivered}
    if data.levels.expected:
        yield Check("expected", not missing, {"missing": len(missing)} | counted, tuple(missing))
    else:
        yield Check("delivered", not silent, counted, tuple(silent))
    unavailable = [actor.id for actor in data.actors.values() if actor.delivery == "unavailable"]
    if unavailable:
        yield Check("unavailable", False, {"actors_unavailable": len(unavailable)}, tuple(unavailable))
    for state in ("refused", "held"):
        if number := states.count(state):
            actors = dict.fromkeys(extract.actor for extract in data.extracts if extract.state == state)
            yield Check(state, False, {f"extracts_{state}": number}, tuple(actors))
    if data.deadline is not None:
        minutes = minutes_left(data.started_at, data.finished_at, data.deadline, data.timezone)
        yield Check("deadline" if minutes >= 0 else "late", minutes >= 0, {"minutes": abs(minutes)})
