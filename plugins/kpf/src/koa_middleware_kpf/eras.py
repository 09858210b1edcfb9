"""KPF's eras and service missions, as the instrument team publishes them (KPF-Pipeline, ``static/`` tables).

Times are UTC. Of consecutive published eras one ends on a second and the next one begins on the next second; here an
era begins where the one before it ends. The gaps of hours and days are real and stay.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta

_MJD_ZERO = datetime(1858, 11, 17)  # by the definition of MJD


def mjd(time: datetime) -> float:
    """Modified Julian Date, in days UTC, of a time without a zone, which is UTC."""
    return (time - _MJD_ZERO) / timedelta(days=1)


#: Era, begin (included), end (excluded).
ERAS = tuple(
    (era, mjd(datetime.fromisoformat(begin)), mjd(datetime.fromisoformat(end)))
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

#: Begin and end of each service mission, in order of time.
SERVICE_BOUNDARIES = tuple(
    mjd(datetime.fromisoformat(boundary))
    for boundary in (
        *("2024-02-03T00:00:00", "2024-02-11T00:00:00"),
        *("2024-11-01T12:00:00", "2024-11-19T02:00:00"),
        *("2025-03-10T23:00:00", "2025-04-23T00:22:00"),
        *("2025-08-29T20:30:00", "2025-10-30T00:00:00"),
    )
)


def era_at(time: float) -> str | None:
    """Era at a time (MJD, days UTC), None in a gap."""
    return next((era for era, begin, end in ERAS if begin <= time < end), None)


def service_interval_at(time: float) -> int:
    """Number of boundaries of service missions up to a time (MJD, days UTC): even between missions, odd in one."""
    return bisect_right(SERVICE_BOUNDARIES, time)
