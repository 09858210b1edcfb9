"""KPF's eras, service missions and static references, as the instrument team publishes them.

Sources: KPF-Pipeline, ``static/kpfera_definitions.csv``, ``static/service_mission_definitions.csv`` and ``caldates/``.
Times are UTC. Of consecutive published intervals one often ends on a second and the next one begins on the next second;
here each begins where the one before it ends. The gaps of hours and days between eras are real and stay.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta

_MJD_ZERO = datetime(1858, 11, 17)  # by the definition of MJD


def mjd(time: datetime) -> float:
    """Modified Julian Date, in days UTC, of a time without a zone, which is UTC."""
    return (time - _MJD_ZERO) / timedelta(days=1)


def _day(time: str) -> float:
    return mjd(datetime.fromisoformat(time))


def _days(*times: str) -> tuple[float, ...]:
    return tuple(map(_day, times))


#: Era, begin (included), end (excluded).
ERAS = tuple(
    (era, _day(begin), _day(end))
    for era, begin, end in (
        ("0.5", "2000-01-01T00:00:00", "2022-11-09T00:00:00"),  # before first light
        ("1.0", "2022-11-09T00:00:00", "2024-02-03T00:00:00"),
        ("1.5", "2024-02-03T00:00:00", "2024-02-11T00:00:00"),  # service mission 1
        ("2.0", "2024-02-23T12:00:00", "2024-11-01T00:00:00"),
        ("2.5", "2024-11-01T12:00:00", "2025-01-01T00:00:00"),  # service mission 2
        ("2.6", "2025-01-01T12:00:00", "2025-03-28T23:00:00"),  # after a warm-up of the green side
        ("2.7", "2025-03-28T23:00:00", "2025-04-23T00:22:00"),  # service mission 3
        ("3.0", "2025-04-23T00:22:00", "2025-08-29T20:30:00"),
        ("3.5", "2025-08-29T20:30:00", "2025-10-30T00:00:00"),  # service mission 4
        ("4.0", "2025-10-30T00:00:00", "2040-01-01T00:00:00"),
    )
)

#: Begin and end of each service mission, in order of time, as MJD.
SERVICE_MISSIONS = _days(
    *("2024-02-03T00:00:00", "2024-02-11T00:00:00"),
    *("2024-11-01T12:00:00", "2024-11-19T02:00:00"),
    *("2025-03-10T23:00:00", "2025-04-23T00:22:00"),
    *("2025-08-29T20:30:00", "2025-10-30T00:00:00"),
)

#: By type of a static reference, when another one takes over, as MJD; before the first and after the last it is open.
REFERENCES = {
    "rough_wls": _days("2024-02-03T00:00:00"),
    "start_order": _days("2024-02-03T00:00:00"),
    "xdisp_ref": _days("2023-05-17T12:00:00", "2024-02-03T00:00:00", "2024-11-01T00:00:00", "2025-04-01T00:00:00"),
    "etalon_drift": _days("2024-02-03T00:00:00"),  # the one of before is not followed by another
    "lfc_drift": _days("2024-02-03T00:00:00", "2024-11-10T00:00:00"),
    "trace_flat": _days("2024-02-03T00:00:00"),
}


def era_at(time: float) -> str | None:
    """Era at a time (MJD, days UTC), None in a gap."""
    return next((era for era, begin, end in ERAS if begin <= time < end), None)


def validity_of(cal_type: str | None, time: float) -> dict[str, float]:
    """`valid_from` and `valid_to` (days UTC) of a static reference of a time, none where it is open."""
    starts = REFERENCES.get(cal_type or "", ())
    place = bisect_right(starts, time)
    return {
        **({"valid_from": starts[place - 1]} if place else {}),
        **({"valid_to": starts[place]} if place < len(starts) else {}),
    }
