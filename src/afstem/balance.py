"""Balance: nothing lost, nothing twice, for every extract, actor and contact type (SPEC 5.1).

records = applied + unchanged + superseded + held + rejected. The left side was counted while the records were judged;
the right side is counted anew from the outcomes that were written, and the applied ones once more in the store. A run
that is off by one fails before it commits.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from afstem.errors import RunError
from afstem.intake import ExtractSummary, were_read
from afstem.schema import Outcome
from afstem.staging import RunFolder

OutcomeCounts = Counter[str]
"""Records by outcome."""

ByContactType = dict[str | None, OutcomeCounts]


@dataclass
class Balance:
    """What became of the records, counted from the written outcomes: by extract id and contact type."""

    by_extract: dict[str, ByContactType] = field(default_factory=dict)

    def of_extract(self, extract_id: str) -> OutcomeCounts:
        return _total(self.by_extract.get(extract_id, {}).values())

    def of_actor(self, extracts: Iterable[ExtractSummary]) -> ByContactType:
        """The sum over the extracts of an actor that were read."""
        summed: ByContactType = {}
        for extract in were_read(extracts):
            for contact_type, outcomes in self.by_extract.get(extract.extract_id, {}).items():
                summed[contact_type] = summed.get(contact_type, Counter()) + outcomes
        return summed

    def total(self) -> OutcomeCounts:
        return _total(self.of_extract(extract_id) for extract_id in self.by_extract)


def count_outcomes(folder: RunFolder) -> Balance:
    """Count the written outcomes of a settled run."""
    balance = Balance()
    keys = ["extract_id", "contact_type", "outcome"]
    for path in sorted(folder.outcomes.iterdir()):
        # As dictionaries, which is how they were written: a million texts are counted by their numbers.
        outcomes = pq.read_table(path, columns=keys, read_dictionary=keys).unify_dictionaries()
        counts = outcomes.group_by(keys).aggregate([([], "count_all")])
        for row in counts.to_pylist():
            by_type = balance.by_extract.setdefault(row["extract_id"], {})
            by_type.setdefault(row["contact_type"], Counter())[row["outcome"]] += row["count_all"]
    return balance


def check_balance(extracts: Iterable[ExtractSummary], balance: Balance) -> None:
    """Raise `RunError` where the verdicts and the outcomes of an extract do not add up."""
    for extract in extracts:
        judged = {tally.contact_type: (tally.accepted, tally.rejected) for tally in extract.tallies}
        by_type = balance.by_extract.get(extract.extract_id, {})
        written = {
            contact_type: (outcomes.total() - outcomes[Outcome.REJECTED], outcomes[Outcome.REJECTED])
            for contact_type, outcomes in by_type.items()
        }
        if judged != written or extract.records != sum(map(sum, written.values())):
            raise RunError(
                f"{extract.extract_id}: the balance is off: {judged} records judged, {written} outcomes written"
            )


def check_store(applied_in_store: Mapping[tuple[str, str], int], applied: Mapping[tuple[str, str], int]) -> None:
    """Raise `RunError` where the store's history of this run and the outcomes disagree.

    Both count applied records by (actor, contact type).
    """
    if dict(applied_in_store) != dict(applied):
        raise RunError(
            f"the balance is off: {sum(applied.values())} records count as applied, "
            f"but the store's history has {sum(applied_in_store.values())}"
        )


def applied_by_actor(extracts: Iterable[ExtractSummary], balance: Balance) -> dict[tuple[str, str], int]:
    """Applied records by (actor, contact type), where there are any."""
    applied: Counter[tuple[str, str]] = Counter()
    for extract in were_read(extracts):
        for contact_type, outcomes in balance.by_extract.get(extract.extract_id, {}).items():
            if contact_type is not None and outcomes[Outcome.APPLIED]:
                applied[extract.actor, contact_type] += outcomes[Outcome.APPLIED]
    return dict(applied)


def _total(counts: Iterable[OutcomeCounts]) -> OutcomeCounts:
    total: OutcomeCounts = Counter()
    for part in counts:
        total.update(part)
    return total
