"""The pages, asked as a browser asks, of a real server over a real store."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from koa_middleware import CalibrationStore

from tests.conftest import DemoCalibration, dark, record, write_fits
from tests.server.live import live
from tests.server.pages import BROWSER, Site, plugin_of_pages, serving, site

pytestmark = pytest.mark.filterwarnings("ignore::koa_middleware.exceptions.FallbackWarning")

HOSTILE = '"><script>alert(1)</script><img src=x>'
FRAME = {"frame.datetime_obs": "2025-11-23T00:00:00", "frame.spectrograph": "BSPEC"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("pages")) as served:
        yield served


@pytest.fixture(autouse=True)
def with_selectors(pages: Site) -> None:
    plugin_of_pages()


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """A science frame in the middle of the calibrations."""
    return write_fits(tmp_path / "frame.fits", {"MJD-OBS": 61002.0, "SPECTROG": "BSPEC"})


def test_the_first_page_says_how_each_instrument_stands(pages: Site) -> None:
    shown = pages.get()
    assert "6 calibrations of 3 types; the newest was observed 2025-11-25 02:24:00" in shown.text
    assert "which follows no archive" in shown.text
    assert pages.get(shown.link("demo")).status == 200


def test_the_list_has_the_newest_first_and_says_how_old_each_is(pages: Site) -> None:
    shown = pages.get("demo")
    assert re.findall(r"(?:dark|wls|flat)\.\d\.fits", shown.text) == [
        f"{name}.fits" for name in ("dark.2", "wls.2", "dark.3", "flat.1", "wls.1", "dark.1")
    ]
    assert re.search(r"2025-11-25 02:24:00 \d+ d ago", shown.text) or "years ago" in shown.text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"type": "wls"}, ["wls.2", "wls.1"]),
        ({"since": "2025-11-22", "until": "2025-11-23"}, ["dark.3", "flat.1"]),
        ({"until": "2025-11-21T02:30:00"}, ["dark.1"]),
        ({"quality": "BAD"}, ["dark.2"]),
        ({"column": "spectrograph", "value": "RSPEC"}, ["dark.3"]),
        ({"column": ["era", "cal_type"], "value": ["", "dark"]}, ["dark.2", "dark.3", "dark.1"]),
        ({"column": "exposure_time", "value": "30"}, ["dark.1"]),
        ({"sort": "filename"}, ["dark.1", "dark.2", "dark.3", "flat.1", "wls.1", "wls.2"]),
        ({"type": "dark", "sort": "-exposure_time"}, ["dark.1", "dark.3", "dark.2"]),
    ],
    ids=str,
)
def test_the_list_is_searched_and_sorted(pages: Site, asked: dict[str, Any], found: list[str]) -> None:
    names = re.findall(r"(?:dark|wls|flat)\.\d(?=\.fits</a>)", pages.get("demo", **asked).html)
    if "sort" in asked and asked["sort"] == "-exposure_time":  # of what has no value, the order is the ids'
        assert (names[0], sorted(names[1:])) == (found[0], sorted(found[1:]))
    else:
        assert names == found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"since": "yesterday"}, "Give a day or a time, UTC"),
        ({"column": "spektrograph", "value": "X"}, "Did you mean spectrograph?"),
        ({"sort": "nothing"}, "demo has no column 'nothing'"),
        ({"column": "exposure_time", "value": "long"}, "'long'"),
        ({"after": "[1"}, "is no place in a list"),
        ({"after": '[{"a":1},"b"]'}, "is no place in a list"),
        ({"after": '["\\ud800","b"]'}, "is no place in a list"),
        ({"sort": "amplifiers", "after": f'[{2**70},"b"]'}, "is no place in a list"),
        ({"column": "era", "value": "\0"}, "not valid text"),
    ],
    ids=str,
)
def test_what_cannot_be_searched_for_is_said_beside_the_search(pages: Site, asked: dict[str, Any], said: str) -> None:
    shown = pages.get("demo", **asked)
    assert shown.status == 422
    assert said in shown.text
    assert "<form" in shown.html


def test_where_nothing_is_found_the_page_says_what_to_do(pages: Site) -> None:
    assert "Take one of the conditions away" in pages.get("demo", type="wls", until="2000-01-01").text


def test_a_record_is_told_whole(pages: Site) -> None:
    shown = pages.get("demo/record", name="dark.2.fits")
    assert "stripes, of the new readout" in shown.text
    assert "quality UNKNOWN BAD" in shown.text  # before and after
    assert "mjd_start 61004.1 d EXPMJDST, MJD-OBS" in shown.text
    assert "SPECTROG= 'BSPEC" in shown.text
    by_id = pages.get("demo/record", name=pages.store.query(filename="dark.2.fits")[0].id)
    assert "stripes, of the new readout" in by_id.text


def test_a_records_download_is_the_files_address_of_the_api(pages: Site) -> None:
    shown = pages.get("demo/record", name="dark.2.fits")
    assert urljoin("http://here/koa/demo/record", shown.link("Download the file")) == (
        "http://here/koa/api/v1/demo/files/dark.2.fits"
    )
    assert "Download" not in pages.get("demo/record", name="wls.1.fits").text
    assert "not on this server's disk" in pages.get("demo/record", name="wls.1.fits").text


def test_a_spoilt_file_is_called_spoilt_and_not_absent(tmp_path: Path) -> None:
    with site(tmp_path) as pages:
        pages.store.get_local_filepath(pages.store.query(filename="dark.1.fits")[0]).write_bytes(b"spoilt")
        shown = pages.get("demo/record", name="dark.1.fits")
    assert shown.status == 200
    assert "Its file on this server's disk is spoilt" in shown.text
    assert "not on this server's disk" not in shown.text
    assert "Download" not in shown.text


def test_a_judgement_here_is_told_as_one_that_clients_do_not_get(tmp_path: Path) -> None:
    with site(tmp_path) as pages:
        pages.store.flag("wls.1.fits", "BAD", "a lamp was off", here=True)
        shown = pages.get("demo/record", name="wls.1.fits")
        assert "Clients that sync with this server get GOOD, the archive's word." in shown.text
        assert "archive's word" not in pages.get("demo/record", name="dark.1.fits").text


def test_a_record_that_is_gone_is_shown_as_it_was_with_its_history(pages: Site, tmp_path: Path) -> None:
    made = pages.store.register_calibration(dark(tmp_path, "gone.fits", 60990.0)).calibration
    pages.store.remove(made)
    shown = pages.get("demo/record", name="gone.fits")
    assert shown.status == 200
    assert "not there any more" in shown.text
    assert "withdrawn" in shown.text


def test_a_record_that_never_was_is_an_error_page(pages: Site) -> None:
    shown = pages.get("demo/record", name="never.fits")
    assert shown.status == 404
    assert "never.fits" in shown.text
    assert "No such calibration demo has no calibration with the file name or id 'never.fits'." in shown.text
    assert shown.link("Browse demo") == "../demo"


def test_a_master_is_shown_with_what_it_was_made_with_and_what_was_made_with_it(tmp_path: Path) -> None:
    plugin_of_pages()
    DemoCalibration.inputs = ("INPDARK",)
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        store.register_calibration(dark(tmp_path / "made", "input.fits"))
        store.register_calibration(dark(tmp_path / "made", "master.fits", 60001.0, INPDARK="input.fits"))
        with live(serving(store)) as server:
            DemoCalibration.inputs = ("INPDARK",)
            pages = Site(server.url, store)
            assert "master.fits dark GOOD input.fits file name" in pages.get("demo/record", name="input.fits").text
            assert "1 file that it was made with: input.fits" in pages.get("demo/record", name="master.fits").text


def test_why_tells_the_same_as_explain(pages: Site) -> None:
    shown = pages.get("demo/why", type="dark", **FRAME)
    told = pages.store.explain({"datetime_obs": "2025-11-23T00:00:00", "spectrograph": "BSPEC"}, "dark")
    assert told.headline() in shown.text
    assert [each.why for each in told.candidates if each.why not in shown.text] == []
    assert "BAD (flagged by" in shown.text


def test_why_takes_a_file_and_gives_the_question_as_a_link(pages: Site, frame: Path) -> None:
    shown = pages.post("demo/why", [("frame.fits", frame.read_bytes())], type="dark")
    assert "dark.1.fits is chosen" in shown.text
    again = pages.get("demo/why" + shown.link("This question as a link"))
    assert "dark.1.fits is chosen" in again.text


def test_values_that_are_typed_count_in_place_of_a_files(pages: Site, frame: Path) -> None:
    file = ("frame.fits", frame.read_bytes())
    shown = pages.post("demo/why", [file], type="dark", **{"frame.spectrograph": "RSPEC"})
    assert "dark.3.fits is chosen" in shown.text


def test_of_a_large_frame_its_beginning_is_enough(pages: Site, frame: Path) -> None:
    beginning = frame.read_bytes()[:2880]
    assert "dark.1.fits is chosen" in pages.post("demo/why", [("frame.fits", beginning)], type="dark").text


def test_a_frame_may_have_its_keywords_behind_its_data_and_be_compressed(pages: Site, tmp_path: Path) -> None:
    keywords = {"MJD-OBS": 61002.0, "SPECTROG": "BSPEC"}
    path = write_fits(tmp_path / "far.fits", keywords, {"GREEN_CCD": {"MIDMJD": 61002.5, "DEMOERA": "1.0.0"}})
    shown = pages.post("demo/why", [("far.fits", path.read_bytes())], type="dark")
    assert 'value="61002.5"' in shown.html
    packed = pages.post("demo/why", [("far.fits.gz", gzip.compress(path.read_bytes()))], type="dark")
    assert 'value="61002.5"' in packed.html


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("frame.fits", b"<html>", "frame.fits cannot be read as FITS"),
        ("frame.fits", b"SIMPLE  =" + b" " * 9000, "frame.fits"),
        ("frame.fits.gz", b"\x1f\x8b nothing", "frame.fits.gz"),
        ("..", b"SIMPLE", "cannot be a file name"),
        ("../../etc/a.fits", b"", "a.fits is empty"),
    ],
)
def test_a_file_that_is_no_frame_is_refused_by_its_name_alone(
    pages: Site, name: str, content: bytes, said: str
) -> None:
    shown = pages.post("demo/why", [(name, content)], type="dark")
    assert shown.status == 422
    assert said in shown.text
    assert "/tmp" not in shown.html


def test_as_of_asks_for_the_past(pages: Site) -> None:
    flagged = pages.store.history("dark.2.fits")[-1]["time"]
    at = {"type": "dark", "frame.datetime_obs": "2025-11-25T00:00:00", "frame.spectrograph": "BSPEC"}
    assert "dark.1.fits is chosen" in pages.get("demo/why", **at).text
    before = (datetime.fromisoformat(flagged) - timedelta(microseconds=1)).isoformat()
    assert "dark.2.fits is chosen" in pages.get("demo/why", as_of=before, **at).text


def test_why_says_which_value_is_missing_and_marks_its_field(pages: Site) -> None:
    shown = pages.get("demo/why", type="dark", **{"frame.datetime_obs": "2025-11-23T00:00:00"})
    assert shown.status == 422
    assert re.search(r'name="frame.spectrograph"[^>]* aria-invalid="true"', shown.html)


@pytest.mark.parametrize(
    ("path", "name", "known"),
    [
        ("", "type", "Leave it out."),
        ("demo", "from", "It knows type, since, until,"),
        ("demo", "untill", "Did you mean until?"),
        ("demo/coverage", "from", "It knows type, start, end."),
        ("demo/record", "id", "It knows name, made."),
        ("demo/why", "spectrograph", "It knows type, as_of, frame.COLUMN."),
        ("demo/night", "file", "It knows as_of, frames, frame.COLUMN."),
        ("demo/status", "type", "Leave it out."),
    ],
)
def test_a_name_in_an_address_that_a_page_does_not_know_is_refused(
    pages: Site, path: str, name: str, known: str
) -> None:
    shown = pages.get(path, **{name: "2026-02-12"})
    assert shown.status == 422
    assert f"The address asks for '{name}', which this page does not know." in shown.text
    assert known in shown.text


@pytest.mark.parametrize("path", ["why", "night"])
def test_a_form_without_a_file_leads_to_an_address_that_asks_the_same(pages: Site, path: str) -> None:
    typed = {"frames": "datetime_obs=2025-11-23T00:00:00 spectrograph=BSPEC"} if path == "night" else FRAME
    parts = {name: (None, value) for name, value in {"as_of": "", **typed}.items()}
    url = f"{pages.url}/demo/{path}"
    sent = requests.post(url, files=parts, headers=BROWSER, allow_redirects=False, timeout=30)
    assert sent.status_code == 303
    assert requests.get(urljoin(url, sent.headers["location"]), headers=BROWSER, timeout=30).status_code == 200
    asked = requests.Request("GET", url, params=typed).prepare().url
    assert urljoin(url, sent.headers["location"]) == asked


def test_a_night_tells_what_each_frame_gets_and_why_one_gets_nothing(pages: Site, frame: Path) -> None:
    lines = "datetime_obs=2025-11-23T00:00:00 spectrograph=RSPEC\ndatetime_obs=2020-01-01T00:00:00 spectrograph=BSPEC"
    shown = pages.post("demo/night", [("frame.fits", frame.read_bytes())], frames=lines, **{"frame.lamp": "thar"})
    assert "3 frames: 4 of 12 calibrations found, 3 files are not on this disk" in shown.text
    assert "step 2" in shown.text
    assert "missing : 3 known, the nearest refused for" in shown.text
    assert "flat.1.fits not here" in shown.text
    assert "fits is chosen" in pages.get("demo/" + shown.link("0.000 d newer").replace("../demo/", "")).text


def test_a_value_that_is_typed_wrongly_is_corrected_below_and_in_no_header(pages: Site) -> None:
    lacking = pages.get("demo/why", type="dark", **{"frame.datetime_obs": "2025-11-23T00:00:00"})
    assert "The frame has no spectrograph" in lacking.text
    assert "Give its spectrograph below." in lacking.text
    wrong = pages.get("demo/why", type="dark", **{"frame.datetime_obs": "noon", "frame.filename": "a.fits"})
    assert "Correct its datetime_obs below." in wrong.text
    for shown in (lacking, wrong):
        assert shown.status == 422
        assert "orrect the header" not in shown.text
        assert "orrect it there" not in shown.text
    assert "UTC" in pages.get("demo/why", type="dark", as_of="noon", **FRAME).text


def test_a_line_of_a_night_that_says_too_little_is_incomplete_and_lacks_no_calibration(
    pages: Site, tmp_path: Path
) -> None:
    shown = pages.get("demo/night", frames="datetime_obs=2025-11-23T00:00:00 filename=a.fits")
    assert "1 frame: 0 of 1 calibrations found" in shown.text  # the bias, which compares nothing
    assert "The line of a.fits is incomplete: it has no spectrograph. Give it" in shown.text
    assert "not asked: no spectrograph on its line" in shown.text
    assert "in the header" not in shown.text
    frame = write_fits(tmp_path / "frame.fits", {"MJD-OBS": 61002.0})
    of_a_file = pages.post("demo/night", [("frame.fits", frame.read_bytes())])
    assert "missing : no spectrograph in the header" in of_a_file.text
    assert "incomplete" not in of_a_file.text


def test_a_night_says_which_types_it_left_out_and_which_files_it_could_not_read(pages: Site, frame: Path) -> None:
    files = [("frame.fits", frame.read_bytes()), ("page.fits", b"<html>")]
    shown = pages.post("demo/night", files)
    assert "Not asked for, since no frame holds what they compare: flat (lamp)" in shown.text
    assert "1 file could not be read page.fits : page.fits cannot be read" in shown.text
    assert "1 frame: 2 of 3 calibrations found" in shown.text


def test_a_line_of_a_night_that_is_no_frame_is_said(pages: Site) -> None:
    shown = pages.get("demo/night", frames="datetime_obs=2025-11-23T00:00:00\nBSPEC")
    assert shown.status == 422
    assert "Line 2 of the frames, 'BSPEC', has 'BSPEC', which is not COLUMN=VALUE." in shown.text


def test_coverage_draws_what_it_tells_in_words(pages: Site) -> None:
    shown = pages.get("demo/coverage", type="dark")
    assert 'aria-label="dark BSPEC: 2 calibrations, 1 of them BAD, 0 gaps"' in shown.html
    assert "dark BSPEC 2 1 never" in shown.text
    early = pages.get("demo/coverage", type="dark", start="2025-11-01")
    assert "2025-11-01 00:00:00 to 2025-11-12 02:24:00 11.1 d" in early.text
    assert '<rect class="gap" x="0.0%"' in early.html


def test_coverage_says_when_its_times_are_none(pages: Site) -> None:
    shown = pages.get("demo/coverage", start="2025-11-23", end="2025-11-01")
    assert shown.status == 422
    assert "is not after its start" in shown.text


def test_status_tells_how_much_there_is_and_what_is_newest(pages: Site) -> None:
    shown = pages.get("demo/status")
    assert "Serves reading only" in shown.text
    assert "wls 2 2025-11-21 04:48:00" in shown.text
    assert "none: this cache alone" in shown.text
    assert "Nothing is kept apart" in shown.text


PATHS = ["", "demo", "demo/record?name=dark.1.fits", "demo/why", "demo/night", "demo/coverage", "demo/status", "no"]


@pytest.mark.parametrize("path", PATHS)
def test_each_page_loads_nothing_from_elsewhere_and_runs_nothing(pages: Site, path: str) -> None:
    shown = pages.get(path)
    assert "<script" not in shown.html.lower()
    assert not re.search(r'\s(on\w+|style)="', shown.html)
    assert re.findall(r'(?:src|href|action)="(?:[a-z]+:)?//', shown.html) == []
    assert "default-src 'none'" in shown.headers["content-security-policy"]


@pytest.mark.parametrize("path", PATHS)
def test_the_links_of_each_page_hold_wherever_the_server_is_mounted(pages: Site, path: str) -> None:
    shown = pages.get(path)
    links = {link for link in re.findall(r'(?:href|action)="([^"#]+)', shown.html) if "files/" not in link}
    assert links
    for link in links:
        to = urljoin(f"http://proxy/koa/{path}", link.replace("&amp;", "&"))
        assert to.startswith("http://proxy/koa/"), link
        assert pages.get(to.removeprefix("http://proxy/koa/")).status == 200, link


def test_a_server_below_a_path_of_its_own_gives_the_same_links(pages: Site) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = serving(pages.store)
    with live(Starlette(routes=[Mount("/koa", inner)])) as server:
        shown = requests.get(f"{server.url}/koa/demo/status", headers=BROWSER, timeout=30).text
    assert 'href="../static/pages.css' in shown


def test_an_error_is_a_page_for_a_browser_and_a_problem_for_programs_and_below_the_api(pages: Site) -> None:
    assert "This server has no instrument 'nowhere'." in pages.get("nowhere").text
    for path, accept in (("nowhere", "*/*"), ("nowhere/status", "application/json"), ("api/v1/no", "text/html")):
        answer = requests.get(f"{pages.url}/{path}", headers={"Accept": accept}, timeout=30)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_hostile_values_and_names_stand_there_as_text(tmp_path: Path, frame: Path) -> None:
    plugin_of_pages()
    name = "a<b>&\"'.fits"
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        store.local_db.add([record(name, 61000.0, era=HOSTILE, spectrograph=f"{HOSTILE}\u202e")])
        store.flag(name, "GOOD", HOSTILE)
        with live(serving(store)) as server:
            pages = Site(server.url, store)
            given = [(f"{HOSTILE.replace('/', '')}.fits", frame.read_bytes())]
            shown = [
                pages.get("demo", column="era", value=HOSTILE, all="yes"),
                pages.get("demo", column=HOSTILE, value=HOSTILE, since=HOSTILE, type=HOSTILE),
                pages.get("demo", sort=HOSTILE, after=HOSTILE),
                pages.get("demo/record", name=name),
                pages.get("demo/record", name=HOSTILE),
                pages.get("demo/why", type="dark", as_of=HOSTILE, **{"frame.era": HOSTILE, f"frame.{HOSTILE}": "1"}),
                pages.get("demo/night", frames=f"</textarea>{HOSTILE}"),
                pages.post("demo/why", given, type="dark"),
                pages.post("demo/night", given),
                pages.get("demo/coverage"),
                pages.get("demo/coverage", type=HOSTILE, start=HOSTILE),
                pages.get(requests.utils.quote(HOSTILE, safe="")),
            ]
    assert [each.status for each in shown] == [200, 422, 422, 200, 404, 422, 422, 200, 200, 200, 422, 404]
    for each in shown:
        assert "<script" not in each.html
        assert "<img" not in each.html
        assert "\u202e" not in each.html
    assert "a<b>&\"'.fits" in shown[0].text


def test_what_is_given_to_a_page_changes_nothing_and_leaves_nothing(pages: Site, frame: Path, tmp_path: Path) -> None:
    before = sorted(pages.store.cache_dir.rglob("*")), len(pages.store.history("dark.1.fits"))
    pages.post("demo/why", [("dark.1.fits", frame.read_bytes())], type="dark")
    pages.post("demo/night", [("frame.fits", frame.read_bytes())])
    assert (sorted(pages.store.cache_dir.rglob("*")), len(pages.store.history("dark.1.fits"))) == before


def begun(pages: Site, length: int = 999) -> socket.socket:
    """Begin to send a form, and do not go on."""
    head = f"POST /demo/why HTTP/1.1\r\nHost: here\r\nAccept: text/html\r\nContent-Length: {length}\r\n"
    connection = socket.create_connection(("127.0.0.1", int(pages.url.rpartition(":")[2])), timeout=20)
    connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
    return connection


def test_more_than_a_page_takes_is_refused_before_it_comes(pages: Site) -> None:
    from koa_middleware.server.pages.uploads import MOST_BYTES

    with begun(pages, MOST_BYTES + 1) as connection:
        assert connection.recv(1 << 16).decode().startswith("HTTP/1.1 413")


def test_a_form_that_does_not_come_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from koa_middleware.server.pages import uploads

    monkeypatch.setattr(uploads, "PATIENCE_S", 0.2)
    with site(tmp_path) as pages, begun(pages) as connection:
        said = connection.recv(1 << 16).decode()
        assert said.startswith("HTTP/1.1 408")


def test_forms_that_do_not_come_keep_nobody_waiting_without_a_word(tmp_path: Path) -> None:
    from koa_middleware.server.pages.uploads import AT_ONCE

    with site(tmp_path) as pages, ExitStack() as opened:
        slow = [opened.enter_context(begun(pages)) for _ in range(AT_ONCE)]
        assert len(slow) == AT_ONCE
        until = time.monotonic() + 20
        shown = pages.post("demo/why", [("a.fits", b"")])
        while shown.status != 503 and time.monotonic() < until:
            shown = pages.post("demo/why", [("a.fits", b"")])
        assert shown.status == 503
        assert "Send it again in a minute." in shown.text
        assert pages.get("demo").status == 200


def test_what_is_sent_and_is_no_form_is_said(pages: Site) -> None:
    for kind in ("text/plain", "multipart/form-data", "multipart/form-data; boundary=x"):
        headers = {**BROWSER, "Content-Type": kind}
        answer = requests.post(f"{pages.url}/demo/why", data=b"what", headers=headers, timeout=30)
        assert answer.status_code == 400, kind
        assert "not a form" in answer.text


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    plugin_of_pages()
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store, live(serving(store)) as server:
        pages = Site(server.url, store)
        assert "koa-cal register FILE" in pages.get().text
        assert "koa-cal register FILE" in pages.get("demo").text
        assert "There is nothing to draw" in pages.get("demo/coverage").text
        assert "nothing fits" in pages.get("demo/why", type="dark", **FRAME).text
        assert pages.get("demo/status").status == 200


def test_an_empty_archive_asks_no_visitor_to_sync(tmp_path: Path) -> None:
    from koa_middleware.remote.folder.remote import FolderRemote
    from koa_middleware.remote.following import Follower
    from koa_middleware.server.app import make_app
    from koa_middleware.server.served import Served

    from tests.remote.survey import Heard

    plugin_of_pages()
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        archive = FolderRemote(store.local_db)
        led = Served(plugin_of_pages(), store, archive, True, Follower(store.local_db, archive, Heard()))
        with live(make_app([led])) as server:
            pages = Site(server.url, store)
            for path in ("", "demo"):
                assert "appears here by itself" in pages.get(path).text
                assert "koa-cal sync" not in pages.get(path).text


def test_a_large_number_is_read_in_threes(tmp_path: Path) -> None:
    with site(tmp_path) as pages:
        pages.store.local_db.add([record(f"{number}.fits") for number in range(1000)])
        for path in ("", "demo", "demo/status"):
            assert "1\N{NARROW NO-BREAK SPACE}006" in pages.get(path).html, path


def test_a_damaged_row_stands_there_and_hides_no_other(tmp_path: Path) -> None:
    with site(tmp_path) as pages:
        damage = "mjd_start = 'abc', datetime_obs = 'noon', cooled = 'x', amplifiers = 'many', checksum = x'00'"
        with pages.store.local_db.driver_connection() as connection:
            connection.execute(f"UPDATE demo_calibrations SET {damage} WHERE filename = 'wls.1.fits'")
        for path in ("", "demo", "demo/status", "demo/?all=yes", "demo?type=wls", "demo/record?name=wls.1.fits"):
            assert pages.get(path).status == 200, path
        assert "wls.1.fits wls noon GOOD" in pages.get("demo").text


def test_what_is_kept_apart_is_listed_with_its_reason(tmp_path: Path) -> None:
    from koa_middleware.database.kept_apart import conflicts_table
    from sqlalchemy import insert

    with site(tmp_path) as pages:
        kept = {"id": "an-id", "filename": "dark.1.fits", "reason": "a LOCAL record has its name", "local_id": None}
        row = json.dumps(record("dark.1.fits", id="an-id").to_dict())
        with pages.store.local_db.begin() as connection:
            connection.execute(insert(conflicts_table(DemoCalibration)).values(record=row, **kept))
        assert "dark.1.fits an-id a LOCAL record has its name" in pages.get("demo/status").text
        assert "1 row is kept apart" in pages.get().text
        assert pages.get("demo/record", name="an-id").status == 200


def test_private_pages_ask_for_a_token_and_open_with_one_that_reads(tmp_path: Path) -> None:
    with site(tmp_path, is_private=True) as pages:
        shown = pages.get("demo")
        assert shown.status == 401
        assert "give the token as the password" in shown.text
        assert "KOA_" not in shown.text
        assert "Basic" in shown.headers["www-authenticate"]
        assert "dark.1.fits" not in shown.html
        assert requests.get(f"{pages.url}/static/pages.css", timeout=30).status_code == 200
