"""What a calibration was chosen for."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """What a record was chosen for, and by which rule.

    Attributes
    ----------
    cal_type : str
    frame : str
        The frame as messages call it.
    rule : str
        Name of the selector's class.
    step : int or None
        Number of the preference that gave it, from 1; None where the rule has none.
    delta_days : float or None
        Time of the calibration minus that of the frame; None where one has none.
    as_of : str or None
        State of the database that was asked, as UTC; None: the present one.
    given_by_user : bool
        Whether the user gave it in the place of the rule's choice.
    """

    cal_type: str
    frame: str
    rule: str
    step: int | None = None
    delta_days: float | None = None
    as_of: str | None = None
    given_by_user: bool = False
