"""What every validator of this package gives, in a form that can be held against the others'."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Verdicts:
    """For each record whether its CPR number and its value are refused.

    ``normalised`` is the value as it would be stored, None for a removal and for what is refused; None altogether
    from frameworks that can only say yes or no.
    """

    cpr_refused: Bools
    value_refused: Bools
    normalised: list[str | None] | None = None


def of_type(frame: pd.DataFrame, contact_type: str) -> pd.DataFrame:
    """The records with this identifier of the codelist."""
    return frame[frame["kontaktdatatype"].str.strip() == contact_type]


def refused_at(records: int, *places: object) -> Bools:
    """True at the places (row numbers) of each of the lists."""
    refused = np.zeros(records, dtype=np.bool_)
    for some in places:
        refused[np.asarray(some, dtype=np.int64)] = True
    return refused
