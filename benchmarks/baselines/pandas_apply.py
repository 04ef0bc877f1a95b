"""``DataFrame.apply``, row by row: what most scripts do."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.baselines.rules import cpr_number, normalised
from benchmarks.baselines.verdicts import Verdicts


def judge(frame: pd.DataFrame) -> Verdicts:
    # pandas builds a row of objects in half the time that it takes for one of its own strings.
    judged = frame.astype(object).fillna({"kontaktdata": ""}).apply(_judge_row, axis=1)
    cpr_refused, value_refused, stored = zip(*judged, strict=True)
    return Verdicts(np.array(cpr_refused), np.array(value_refused), list(stored))


def _judge_row(row: Any) -> tuple[bool, bool, str | None]:
    value = row["kontaktdata"].strip()
    form = normalised(row["kontaktdatatype"].strip(), value) if value else None
    return cpr_number(row["personnummer"].strip()) is None, bool(value) and form is None, form
