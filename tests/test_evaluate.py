"""The rules in columns and the rules one record at a time: the same findings, value and time for every record."""

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
import reference
from case_pages import AS_OF, STARTED_AT, TIMEZONE, ReferenceRows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import known, records

from afstem import codelist
from afstem import settings as afstem_settings
from afstem.clock import microseconds
from afstem.evaluate import Terms, evaluate, latest_time
from afstem.lookup import Citizens, Knowledge
from afstem.periods import OPEN_END, day_number
from afstem.permissions import KINDS_OF_ACCESS, RELATION_KINDS, Relations
from afstem.rules import RULES
from afstem.schema import NO_TIME, ActorType, ContactType, record_schema

ACTOR = "actor-1"
CODELIST = codelist.load(afstem_settings.shipped("kontaktdatatype.toml"))

matrices = st.fixed_dictionaries(
    {str(member): st.lists(st.sampled_from(list(KINDS_OF_ACCESS)), unique=True, max_size=3) for member in ActorType}
)


def knowledge_of(rows: ReferenceRows, kinds: list[str]) -> Knowledge:
    """Reference rows as the columns that the store gives."""
    relations = sorted(
        (int(number), RELATION_KINDS.index(kind), *days(begin, end)) for number, _, kind, begin, end in rows.relations
    )
    numbers, kind_codes, begins, ends = (
        (np.array(column) for column in zip(*relations, strict=True)) if relations else (np.empty(0),) * 4
    )
    subscribers = {
        int(number)
        for number, channel, _, begin, end in rows.subscriptions
        if channel == "email" and reference.Period(begin, end).includes(AS_OF)
    }
    return Knowledge(
        citizens=Citizens(
            np.array(sorted(int(number) for number, _ in rows.citizens), np.int64),
            np.array(sorted(int(number) for number, status in rows.citizens if status == "90"), np.int64),
        ),
        relations=Relations(
            numbers.astype(np.int64), kind_codes.astype(np.uint8), begins.astype(np.int32), ends.astype(np.int32)
        ),
        email_subscribers=np.array(sorted(subscribers), np.int64),
        kinds=frozenset(kinds),
        as_of=AS_OF,
    )


def days(begin: date, end: date | None) -> tuple[int, int]:
    return day_number(begin), OPEN_END if end is None else day_number(end)


def world_of(rows: ReferenceRows, matrix: dict[str, list[str]]) -> reference.World:
    world = reference.World(AS_OF, STARTED_AT, TIMEZONE, citizens=dict(rows.citizens), permissions=matrix)
    for number, actor, kind, begin, end in rows.relations:
        world.relations.setdefault((number, actor, kind), []).append(reference.Period(begin, end))
    for number, channel, _, begin, end in rows.subscriptions:
        if channel == "email":
            world.email_subscriptions.setdefault(number, []).append(reference.Period(begin, end))
    return world


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(records(), min_size=1, max_size=12), known([ACTOR]), st.sampled_from(list(ActorType)), matrices)
def test_columns_agree_with_the_reference(
    batch: list[dict[str, str]], rows: ReferenceRows, actor_type: ActorType, matrix: dict[str, list[str]]
) -> None:
    table = pa.table(
        {
            "record_no": range(1, len(batch) + 1),
            "fault": pa.nulls(len(batch), pa.string()),
            "line": pa.nulls(len(batch), pa.string()),
            **{name: pa.array([record[name] for record in batch], pa.string()) for name in batch[0]},
        }
    ).cast(record_schema())
    terms = Terms(CODELIST, ZoneInfo(TIMEZONE), latest_time(STARTED_AT), knowledge_of(rows, matrix[actor_type]))
    judged = evaluate(table, terms)
    world, actor = world_of(rows, matrix), reference.Actor(ACTOR, str(actor_type))
    for place, submitted in enumerate(batch):
        record = reference.Record(place + 1, **submitted)
        codes = reference.judge(record, actor, world)
        assert judged.findings.code[judged.findings.at == place].tolist() == codes
        assert judged.findings.primary[place] == (codes[0] if codes else 0)
        if codes:
            continue
        assert int(judged.columns.number[place]) == int(reference.cpr_number(record.personnummer))
        assert ContactType(judged.columns.contact_type[place]).slug == reference.contact_type_of(record, world)
        assert judged.normalised[place].as_py() == reference.stored_value(record, world)
        registered = reference.registered_at(record, world) if record.registreret.strip() else None
        assert judged.registered_at[place] == (NO_TIME if registered is None else microseconds(registered))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.predicate], ids=lambda rule: rule.slug)
def test_a_rule_is_silenced_only_by_rules_before_it(rule: object) -> None:
    """Else the loop over the rules would ask for what it does not know yet."""
    before = [other.code for other in RULES[: RULES.index(rule)]]
    assert set(rule.silenced_by) <= set(before)


def test_without_a_store_nothing_is_said_about_citizens() -> None:
    table = pa.table(
        {
            "record_no": [1],
            **dict.fromkeys(("fault", "line", "registreret", "reference"), pa.nulls(1, pa.string())),
            "personnummer": ["0207901231"],
            "kontaktdatatype": ["3"],
            "kontaktdata": ["nobody"],
        }
    ).select(record_schema().names)
    judged = evaluate(table, Terms(CODELIST, ZoneInfo(TIMEZONE), latest_time(STARTED_AT), None))
    assert judged.findings.code.tolist() == [9158]
