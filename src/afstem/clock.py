"""The only clock: no rule reads it, every run reads it once."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


def today(zone: ZoneInfo) -> date:
    """Today's date where the service is."""
    return datetime.now(zone).date()


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 in UTC: how columns hold a time."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
