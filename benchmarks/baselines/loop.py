"""A straight loop over the libraries: the plainest thing that is right, and the yardstick of the others."""

import pandas as pd

from benchmarks.baselines.rules import cpr_number, normalised
from benchmarks.baselines.verdicts import Verdicts, refused_at


def judge(frame: pd.DataFrame) -> Verdicts:
    cpr_refused, value_refused, stored = [], [], []
    for place, row in enumerate(frame.fillna({"kontaktdata": ""}).itertuples(index=False)):
        if cpr_number(row.personnummer.strip()) is None:
            cpr_refused.append(place)
        value = row.kontaktdata.strip()
        form = normalised(row.kontaktdatatype.strip(), value) if value else None
        if value and form is None:
            value_refused.append(place)
        stored.append(form)
    return Verdicts(refused_at(len(frame), cpr_refused), refused_at(len(frame), value_refused), stored)
