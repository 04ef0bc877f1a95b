"""Subscriptions to reminders (Huskeservice): which of them protect an email address from removal.

Only email subscriptions do, whatever their type; SMS subscriptions protect nothing, for no error code exists
for it (SPEC 4.2, 9155).
"""

from datetime import date

import numpy as np
import numpy.typing as npt

from afstem.periods import Days, includes

CHANNELS = ("email", "sms")

PROTECTED_CHANNEL = "email"


def active(valid_from: Days, valid_to: Days, as_of: date) -> npt.NDArray[np.bool_]:
    """Which subscriptions run on the as-of date; the last day is included (SPEC 2.6)."""
    return includes(valid_from, valid_to, as_of)
