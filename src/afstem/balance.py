"""Balance: nothing lost, nothing twice, for every extract, actor and contact type (SPEC 5.1).

records = applied + unchanged + superseded + held + rejected, counted again and again on the way, each time from what
that step has in hand, and a run that is off by one fails before it commits:

    the file        physical records                                        `intake`
    the verdicts    accepted and rejected, as they are judged               `intake.Tally`
    the outcomes    every outcome and every change, as they are settled     `settlement.Settled`: told everywhere
    the report      the outcomes it publishes, the findings it publishes    `report.outcomes`, `report.agreement`
    the store       the rows of its history, by what they changed           `store.AppliedCounts`
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from afstem.errors import RunError
from afstem.intake import ExtractSummary, were_read
from afstem.schema import Outcome

OutcomeCounts = Counter[str]
"""Records by outcome."""

ByContactType = dict[str | None, OutcomeCounts]

ByActorAndType = Mapping[tuple[str, str], Mapping[str, int]]
"""Changes by actor and contact type, where there are any."""


@dataclass
class Balance:
    """What became of the records: by extract id and contact type, how many of each `Outcome` and each `Change`."""

    by_extract: dict[str, ByContactType] = field(default_factory=dict)
    changes: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, outcomes: Mapping[tuple[str, str | None, str], int], changes: Mapping[tuple[str, str, str], int]
    ) -> "Balance":
        """From counts by (extract id, contact type, what became of it)."""
        balance = cls()
        for (extract_id, contact_type, outcome), count in outcomes.items():
            balance.by_extract.setdefault(extract_id, {}).setdefault(contact_type, Counter())[outcome] += count
        for (extract_id, contact_type, change), count in changes.items():
            balance.changes.setdefault((extract_id, contact_type), Counter())[change] += count
        return balance

    def of_extract(self, extract_id: str) -> OutcomeCounts:
        return _total(self.by_extract.get(extract_id, {}).values())

    def of_actor(self, extracts: Iterable[ExtractSummary]) -> ByContactType:
        """The sum over the extracts of an actor that were read."""
        summed: ByContactType = {}
        for extract in were_read(extracts):
            for contact_type, outcomes in self.by_extract.get(extract.extract_id, {}).items():
                summed[contact_type] = summed.get(contact_type, Counter()) + outcomes
        return summed

    def changes_of_actors(self, extracts: Iterable[ExtractSummary]) -> ByActorAndType:
        """What the records of each actor changed, by contact type."""
        actors = {extract.extract_id: extract.actor for extract in extracts}
        summed: dict[tuple[str, str], Counter[str]] = {}
        for (extract_id, contact_type), changes in sorted(self.changes.items()):
            place = (actors[extract_id], contact_type)
            summed[place] = summed.get(place, Counter()) + changes
        return summed

    def total(self) -> OutcomeCounts:
        return _total(self.of_extract(extract_id) for extract_id in self.by_extract)


def check_balance(extracts: Iterable[ExtractSummary], balance: Balance) -> None:
    """Raise `RunError` where the verdicts, the outcomes and the changes of an extract do not add up."""
    for extract in extracts:
        judged = {tally.contact_type: (tally.accepted, tally.rejected) for tally in extract.tallies}
        settled = {
            contact_type: (outcomes.total() - outcomes[Outcome.REJECTED], outcomes[Outcome.REJECTED])
            for contact_type, outcomes in balance.by_extract.get(extract.extract_id, {}).items()
        }
        if judged != settled or extract.records != sum(map(sum, settled.values())):
            raise RunError(
                f"{extract.extract_id}: the balance is off: {judged} records judged, {settled} outcomes settled"
            )
    applied = {
        (extract_id, contact_type): outcomes[Outcome.APPLIED]
        for extract_id, by_type in balance.by_extract.items()
        for contact_type, outcomes in by_type.items()
        if outcomes[Outcome.APPLIED]
    }
    changed = {place: changes.total() for place, changes in balance.changes.items()}
    if applied != changed:
        raise RunError(f"the balance is off: {applied} records applied, {changed} changes settled")


def check_store(counted: ByActorAndType, changes: ByActorAndType) -> None:
    """Raise `RunError` where the store's history of this run and the changes disagree."""
    if _without_zeros(counted) != _without_zeros(changes):
        raise RunError(f"the balance is off: {changes} records count as applied, but the store's history has {counted}")


def _without_zeros(changes: ByActorAndType) -> ByActorAndType:
    return {place: {kind: count for kind, count in kinds.items() if count} for place, kinds in changes.items()}


def _total(counts: Iterable[OutcomeCounts]) -> OutcomeCounts:
    total: OutcomeCounts = Counter()
    for part in counts:
        total.update(part)
    return total
