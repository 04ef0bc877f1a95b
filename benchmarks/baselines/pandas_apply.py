"""``DataFrame.apply``, row by row: what most scripts do."""

from typing import Any

import pandas as pd

from benchmarks.baselines.rules import cpr_number, normalised
from benchmarks.baselines.verdicts import Verdicts


def judge(frame: pd.DataFrame) -> Verdicts:
    judged = frame.fillna({"kontaktdata": ""}).apply(_judge_row, axis=1, result_type="expand")
    forms = judged[2].astype(object).where(judged[2].notna(), None)
    return Verdicts(judged[0].to_numpy(dtype=bool), judged[1].to_numpy(dtype=bool), forms.tolist())


def _judge_row(row: Any) -> tuple[bool, bool, str | None]:
    value = row["kontaktdata"].strip()
    form = normalised(row["kontaktdatatype"].strip(), value) if value else None
    return cpr_number(row["personnummer"].strip()) is None, bool(value) and form is None, form
