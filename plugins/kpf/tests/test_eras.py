from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware_kpf.eras import ERAS, SERVICE_BOUNDARIES, era_at, mjd, service_interval_at

times = st.floats(min_value=mjd(datetime(2022, 1, 1)), max_value=mjd(datetime(2027, 1, 1)))


def at(text):
    return mjd(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("time", "era"),
    [
        ("2022-11-08T23:59:59.9", "0.5"),
        ("2022-11-09T00:00:00", "1.0"),
        ("2022-11-09T00:00:00.5", "1.0"),  # between two rows of the published table
        ("2024-02-03T00:00:00.5", "1.5"),
        ("2024-02-10T23:59:59", "1.5"),
        ("2024-02-11T00:00:00", None),  # the table has no era for these days
        ("2024-02-23T11:59:59", None),
        ("2024-02-23T12:00:01", "2.0"),
        ("2024-11-01T06:00:00", None),
        ("2025-01-01T06:00:00", None),
        ("2025-01-22T09:04:14", "2.6"),
        ("2025-03-28T23:00:00.5", "2.7"),
        ("2025-08-29T20:30:00", "3.5"),
        ("2026-02-12T00:00:00", "4.0"),
    ],
)
def test_the_era_of_a_time(time, era):
    assert era_at(at(time)) == era


def test_the_published_tables_are_kept(real):
    published = [line.split(",")[:3] for line in (real / "kpfera_definitions.csv").read_text().splitlines()[1:]]
    assert len(published) == len(ERAS)
    for (era, begin, end), ours in zip(published, ERAS, strict=True):
        begin = datetime.fromisoformat(begin.strip())
        assert era.strip() == ours[0]
        assert mjd(begin - timedelta(seconds=begin.second)) == ours[1]
        assert at(end.strip()) == ours[2]
    missions = (real / "service_mission_definitions.csv").read_text().splitlines()[1:]
    assert [at(text) for line in missions for text in line.split(",")[:2]] == list(SERVICE_BOUNDARIES)


@given(times, times)
def test_two_times_are_of_one_interval_exactly_when_no_mission_begins_or_ends_between(one, other):
    first, last = sorted((one, other))
    between = [boundary for boundary in SERVICE_BOUNDARIES if first < boundary <= last]
    assert (service_interval_at(first) == service_interval_at(last)) == (not between)
