from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware_kpf.eras import ERAS, REFERENCES, SERVICE_MISSIONS, era_at, mjd, validity_of

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
    assert [at(text) for line in missions for text in line.split(",")[:2]] == list(SERVICE_MISSIONS)


@pytest.mark.parametrize(
    ("cal_type", "date", "begin", "end"),
    [
        ("xdisp_ref", "2023-05-01", None, "2023-05-17T12:00:00"),
        ("xdisp_ref", "2023-07-30", "2023-05-17T12:00:00", "2024-02-03"),
        ("xdisp_ref", "2024-02-11", "2024-02-03", "2024-11-01"),
        ("xdisp_ref", "2025-05-06", "2025-04-01", None),
        ("trace_flat", "2023-07-30", None, "2024-02-03"),
        ("trace_flat", "2024-02-11", "2024-02-03", None),
        ("lfc_drift", "2024-02-22", "2024-02-03", "2024-11-10"),
        ("etalon_drift", "2023-04-18", None, "2024-02-03"),
    ],
)
def test_a_reference_is_valid_where_the_published_table_has_it(cal_type, date, begin, end):
    given = {"valid_from": begin, "valid_to": end}
    assert validity_of(cal_type, at(date)) == {name: at(day) for name, day in given.items() if day is not None}


def test_no_other_type_has_an_interval():
    assert validity_of("ordermask", at("2024-02-11")) == validity_of(None, at("2024-02-11")) == {}


@given(times, st.sampled_from(sorted(REFERENCES)))
def test_intervals_of_references_leave_no_hole(time, cal_type):
    here = validity_of(cal_type, time)
    assert here.get("valid_from", -1e9) <= time < here.get("valid_to", 1e9)
    if "valid_to" in here:
        assert validity_of(cal_type, here["valid_to"])["valid_from"] == here["valid_to"]


def test_a_published_table_of_references_has_the_holes_that_ours_lack(real):
    rows = [line.split(",") for line in (real / "caldates_order_mask.csv").read_text().splitlines()[1:]]
    begins, ends = ([datetime.fromisoformat(row[n].strip()) for row in rows] for n in (1, 2))
    holes = [begin - end for begin, end in zip(begins[1:], ends[:-1], strict=True)]
    assert holes == [timedelta(seconds=1)] * 2
    assert mjd(ends[0]) == REFERENCES["trace_flat"][0]
