"""Writing to an archive over HTTP: what a server takes, what it refuses, and what it leaves when it fails."""

from __future__ import annotations

import os
import threading
import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from served import Publisher, row, serving, sha256, until


@pytest.fixture
def server(archive, tmp_path):
    with serving(archive, tmp_path / "server") as found:
        yield found


@pytest.fixture
def publisher(server):
    return Publisher(server, server.token("publish", "flag"))


def kind(answer):
    """What kind of problem an answer is, after its status."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def files_of(*records, contents):
    return {each["id"]: sha256(content) for each, content in zip(records, contents, strict=True)}


# -- uploads -------------------------------------------------------------------------------------------------------


def test_an_upload_is_seen_by_nobody_until_its_record_is_published(server, publisher):
    mine = row(b"a dark")
    assert publisher.put(b"a dark").status_code == 201
    assert server.files() == {}
    assert publisher.publish(mine, files={mine["id"]: sha256(b"a dark")}).status_code == 200
    assert server.files() == {"dark.fits": b"a dark"}
    assert server.staged() == []
    assert list(server.archive.rows()) == ["dark.fits"]


def test_an_upload_that_is_not_what_was_announced_is_not_kept(server, publisher):
    answer = publisher.put(b"spoilt on the way", sha256(b"a dark"))
    assert kind(answer) == (422, "ChecksumMismatchError")
    assert sha256(b"spoilt on the way") in answer.json()["detail"]
    assert server.staged() == []


def test_an_upload_that_breaks_off_leaves_nothing(server, publisher):
    import socket
    from urllib.parse import urlsplit

    where, token = urlsplit(server.url), server.token("publish", name="other")
    with socket.create_connection((where.hostname, where.port)) as line:
        line.sendall(
            f"PUT {where.path}/api/v1/survey/uploads/{'0' * 64} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: 1000000\r\n\r\n".encode()
            + b"x" * 500_000
        )
        until(lambda: server.staged())
    until(lambda: not server.staged())


def test_an_upload_for_which_there_is_no_room_is_refused_before_it_comes(server, publisher, monkeypatch):
    from koa_middleware.server import uploads

    monkeypatch.setattr(uploads, "RESERVE", 1 << 60)
    for answer in (publisher.put(b"a dark"), publisher.missing(b"a dark")):
        assert kind(answer) == (507, "CacheError")
        assert "free; this upload needs" in answer.json()["detail"]
    assert server.staged() == []


def test_an_upload_has_to_say_its_length_and_may_not_be_too_large(server, publisher):
    assert kind(publisher.put(iter([b"a dark"]), sha256(b"a dark"))) == (411, "length-required")
    answer = publisher.ask("PUT", f"uploads/{'0' * 64}", headers={"Content-Length": str(11 * 10**9)}, data=b"")
    assert answer.status_code == 413
    assert server.staged() == []


def test_an_upload_under_another_name_than_a_checksum_is_refused(server, publisher):
    for digits in ("0" * 63, "A" * 64, "..%2f..%2fetc", "0" * 64 + "%00", "%2e%2e"):
        assert publisher.ask("PUT", f"uploads/{digits}", data=b"x").status_code in (404, 405, 422)
    assert server.staged() == []


def test_an_upload_that_nobody_publishes_goes_after_a_day(server, publisher):
    publisher.put(b"forgotten")
    publisher.put(b"fresh")
    old = server.cache / "partial" / f"{sha256(b'forgotten')}.upload"
    os.utime(old, (time.time() - 90_000,) * 2)
    publisher.put(b"another")
    assert server.staged() == sorted(f"{sha256(each)}.upload" for each in (b"fresh", b"another"))


def test_only_files_that_are_not_here_have_to_come(publisher):
    assert publisher.missing(b"a dark", b"a flat").json() == {"missing": [sha256(b"a dark"), sha256(b"a flat")]}
    publisher.put(b"a dark")
    assert publisher.missing(b"a dark", b"a flat").json() == {"missing": [sha256(b"a flat")]}
    assert kind(publisher.ask("POST", "uploads", {"files": [{"digits": "0" * 64, "size": 11 * 10**9}]}))[0] == 422


# -- publishing ----------------------------------------------------------------------------------------------------


def test_a_plan_tells_names_and_versions_and_changes_nothing(server, publisher):
    server.archive.insert("dark.001.fits", checksum="sha256:7e115")
    mine = row(b"a dark")
    planned = {"id": mine["id"], "filename": "dark.002.fits", "cal_version": "002", "is_new": True}
    assert publisher.plan(mine).json() == {"rows": [planned], "asked": []}
    assert list(server.archive.rows()) == ["dark.001.fits"]


def test_the_history_names_the_token(server, publisher):
    mine = row()
    publisher.publish(mine)
    publisher.flag(mine["id"], quality="BAD", reason="a trail")
    said = [(entry.op, entry.who, entry.why) for entry in server.archive.entries()[1:]]
    assert said == [("added", "keck", None), ("flagged", "keck", "a trail")]


def test_a_publication_whose_plan_does_not_hold_any_more_is_planned_again(server, publisher):
    mine, other = row(b"a dark"), row(b"another", "other.fits")
    names = {mine["id"]: {"filename": "dark.fits", "cal_version": "001"}}
    publisher.publish(other)
    publisher.put(b"a dark")
    files = {mine["id"]: sha256(b"a dark")}
    assert kind(publisher.publish(mine, planned=names, files=files)) == (409, "changed")
    assert (server.files(), len(server.staged())) == ({}, 1)
    assert publisher.publish(mine, files=files).status_code == 200
    assert server.files() == {"dark.002.fits": b"a dark"}


def test_a_publication_whose_upload_is_gone_changes_nothing(server, publisher):
    mine, other = row(b"a dark"), row(b"a flat", "flat.fits", cal_type="flat")
    publisher.put(b"a dark")
    answer = publisher.publish(mine, other, files=files_of(mine, other, contents=[b"a dark", b"a flat"]))
    assert kind(answer) == (409, "changed")
    assert "flat.fits" in answer.json()["detail"]
    assert (server.files(), server.archive.rows()) == ({}, {})
    assert server.staged() == [f"{sha256(b'a dark')}.upload"]


def test_a_transaction_that_fails_at_its_end_leaves_no_file(server, publisher):
    mine = row(b"a dark")
    publisher.put(b"a dark")
    server.archive.execute("ALTER TABLE survey_calibrations ADD CHECK (quality <> 'BAD')")
    answer = publisher.publish({**mine, "quality": "BAD"}, files={mine["id"]: sha256(b"a dark")})
    assert kind(answer) == (502, "RemoteError")
    assert (server.files(), len(server.staged())) == ({}, 1)
    assert publisher.publish(mine, files={mine["id"]: sha256(b"a dark")}).status_code == 200


def test_a_commit_that_fails_leaves_no_file(server, publisher):
    mine = row(b"a dark")
    publisher.put(b"a dark")
    server.archive.execute("TRUNCATE survey_calibrations_feed_lock")
    assert publisher.publish(mine, files={mine["id"]: sha256(b"a dark")}).status_code == 502
    assert (server.files(), server.archive.rows(), len(server.staged())) == ({}, {}, 1)


def test_the_same_key_gives_the_same_answer_from_another_server_too(server, publisher, archive, tmp_path):
    mine = row(b"a dark")
    publisher.put(b"a dark")
    files = {mine["id"]: sha256(b"a dark")}
    names = {mine["id"]: {"filename": "dark.fits", "cal_version": "001"}}
    first = publisher.publish(mine, key="a-key-of-mine", files=files, planned=names)
    assert first.status_code == 200
    with serving(archive, tmp_path / "server") as other:
        second = Publisher(other, other.token("publish", name="other"))
        assert second.publish(mine, key="a-key-of-mine", files=files, planned=names).status_code == 422
    again = publisher.publish(mine, key="a-key-of-mine", files=files, planned=names)
    assert again.json() == first.json()
    assert len(archive.rows()) == 1
    assert kind(publisher.publish(row(), key="a-key-of-mine", planned={})) == (422, "ConfigurationError")


def test_publishers_at_the_same_time_get_different_versions_each_with_its_file(server, publisher):
    def work(number):
        content = f"dark {number}".encode()
        mine = row(content, f"dark-{number}.fits")
        publisher.put(content)
        while (answer := publisher.publish(mine, files={mine["id"]: sha256(content)})).status_code == 409:
            pass
        assert answer.status_code == 200, answer.text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = server.archive.rows()
    assert sorted(each["cal_version"] for each in rows.values()) == [f"{number:03d}" for number in range(1, 7)]
    assert {name: f"sha256:{sha256(content)}" for name, content in server.files().items()} == {
        name: each["checksum"] for name, each in rows.items()
    }
    assert server.staged() == []


def test_an_orphan_in_the_files_place_goes_to_the_quarantine(server, publisher):
    (server.calibrations / "dark.fits").write_bytes(b"whose is it?")
    mine = row(b"a dark")
    publisher.put(b"a dark")
    assert publisher.publish(mine, files={mine["id"]: sha256(b"a dark")}).status_code == 200
    assert server.files() == {"dark.fits": b"a dark"}
    (aside,) = (server.cache / "quarantine").iterdir()
    assert aside.read_bytes() == b"whose is it?"


def test_a_file_of_another_record_of_the_server_stays(server, publisher, archive):
    from koa_middleware import CalibrationStore
    from survey import Survey

    (server.calibrations / "dark.fits").write_bytes(b"of the keeper's own")
    with CalibrationStore(Survey, server.cache) as own:
        own.local_db.add(Survey(filename="dark.fits", cal_type="dark", datetime_obs="2026-01-02", mjd_start=61042.0))
    mine = row(b"a dark")
    publisher.put(b"a dark")
    answer = publisher.publish(mine, files={mine["id"]: sha256(b"a dark")})
    assert kind(answer) == (409, "DuplicateCalibrationError")
    assert server.files() == {"dark.fits": b"of the keeper's own"}
    assert archive.rows() == {}


def test_a_file_that_is_not_its_records_is_refused(server, publisher):
    mine = row(b"a dark")
    publisher.put(b"another")
    answer = publisher.publish(mine, files={mine["id"]: sha256(b"another")})
    assert kind(answer) == (422, "IntegrityError")
    assert (server.files(), server.archive.rows()) == ({}, {})


def test_a_file_whose_record_has_an_md5_is_compared_by_that(server, publisher):
    import hashlib

    for content, md5_of in ((b"a dark", b"a flat"), (b"a dark", b"a dark")):
        mine = row(content, checksum=f"md5:{hashlib.md5(md5_of, usedforsecurity=False).hexdigest()}")
        publisher.put(content)
        answer = publisher.publish(mine, files={mine["id"]: sha256(content)})
        assert answer.status_code == (200 if content == md5_of else 422)


def test_the_file_of_a_published_record_comes_later(server, publisher):
    mine = row(b"a dark")
    publisher.publish(mine)
    files = {mine["id"]: sha256(b"a dark")}
    assert publisher.ask("POST", "placements", {"files": files}).json() == {"here": []}
    publisher.put(b"a dark")
    assert publisher.ask("POST", "placements", {"files": files}).json() == {"here": [mine["id"]]}
    assert server.files() == {"dark.fits": b"a dark"}
    assert publisher.ask("POST", "placements", {"files": files}).json() == {"here": [mine["id"]]}
    absent = publisher.ask("POST", "placements", {"files": {"no-such-id": "0" * 64}})
    assert absent.json() == {"here": []}


# -- rows ----------------------------------------------------------------------------------------------------------


#: Values that a row cannot have, what refuses them, and what that names.
UNFIT = [
    ({"filename": "../../etc/passwd"}, "UnsafeFilenameError", "path separator"),
    ({"filename": ".hidden"}, "UnsafeFilenameError", "dot"),
    ({"filename": "a\x01b.fits"}, "UnsafeFilenameError", "control"),
    ({"filename": "a\x00b.fits"}, "invalid-request", "U+0000"),
    ({"spectrograph": "a\ud800"}, "invalid-request", "spectrograph"),
    ({"a\ud800": "x"}, "invalid-request", "rows"),
    ({"filename": "x" * 300}, "UnsafeFilenameError", "longer"),
    ({"filename": None}, "HeaderError", "filename"),
    ({"filename": 7}, "HeaderError", "filename"),
    ({"id": None}, "HeaderError", "id"),
    ({"id": "two\nlines"}, "HeaderError", "id"),
    ({"checksum": "sha256:zz"}, "HeaderError", "checksum"),
    ({"checksum": "sha512:" + "0" * 128}, "HeaderError", "checksum"),
    ({"quality": "MEDIOCRE"}, "HeaderError", "quality"),
    ({"cal_version": "1000"}, "HeaderError", "cal_version"),
    ({"file_size": -3}, "HeaderError", "file_size"),
    ({"exptime": "long"}, "HeaderError", "exptime"),
    ({"nframes": 2**70}, "HeaderError", "nframes"),
    ({"datetime_obs": "yesterday", "mjd_start": None}, "HeaderError", "datetime_obs"),
    ({"datetime_obs": "x"}, "HeaderError", "datetime_obs"),
    ({"mjd_start": "abc"}, "HeaderError", "mjd_start"),
    ({"mjd_start": True}, "HeaderError", "mjd_start"),
    ({"cal_type": None}, "HeaderError", "cal_type"),
    ({"no_such_column": 3}, "SchemaMismatchError", "no_such_column"),
]


def test_a_row_that_is_not_in_form_is_refused_with_its_column(server, publisher):
    for values, found, said in UNFIT:
        answer = publisher.publish(row(**values), planned={})
        assert kind(answer) == (422, found)
        assert said in answer.json()["detail"]
    assert server.archive.rows() == {}


def test_one_record_sent_twice_is_refused(server, publisher):
    mine = row()
    names = {mine["id"]: {"filename": "dark.fits", "cal_version": "001"}}
    answer = publisher.publish(mine, {**mine, "filename": "other.fits"}, planned=names)
    assert kind(answer) == (422, "invalid-request")
    assert mine["id"] in answer.json()["detail"]
    assert server.archive.rows() == {}


def test_a_body_that_is_not_as_described_is_a_problem(publisher):
    wrong = [
        b"",
        b"{",
        b"[]",
        b'{"rows": 3}',
        b'{"rows": [[1]]}',
        b'{"rows": [{"id": {}}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ]
    headers = {"Content-Type": "application/json", "Idempotency-Key": "a-key-of-mine"}
    for path in ("publications", "publications/plan", "placements"):
        for body in wrong:
            assert kind(publisher.ask("POST", path, data=body, headers=headers))[0] in (400, 422)


def test_too_many_rows_and_too_large_a_body_are_refused(publisher):
    assert kind(publisher.publish(*[{}] * 10_001, planned={})) == (422, "invalid-request")
    answer = publisher.ask("POST", "publications", data=b" " * (33 << 20), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_columns_of_other_versions_are_known_by_their_former_names_and_may_say_nothing(server, publisher):
    mine = {**row(), "spectro": "BSPEC", "era": "0.0.1", "extra": None}
    mine.pop("spectrograph", None)
    answer = publisher.publish(mine, renamed_from={"spectro": ["spectrograph"]}, defaults={"era": "0.0.1"}, planned={})
    assert kind(answer) == (409, "changed")
    names = {mine["id"]: {"filename": "dark.fits", "cal_version": "001"}}
    answer = publisher.publish(
        mine, renamed_from={"spectro": ["spectrograph"]}, defaults={"era": "0.0.1"}, planned=names
    )
    assert answer.status_code == 200
    assert server.archive.rows()["dark.fits"]["spectrograph"] == "BSPEC"
    lost = publisher.publish({**row(filename="b.fits"), "era": "0.0.2"}, defaults={"era": "0.0.1"}, planned={})
    assert kind(lost) == (422, "SchemaMismatchError")
    assert lost.json()["values"]["missing"] == ["era"]


# -- judgements and rights -----------------------------------------------------------------------------------------


def test_a_flag_that_is_asked_again_with_its_key_is_one_judgement(server, publisher):
    (identifier,) = server.archive.insert("a.fits", id="an id/with ümläuts", quality="GOOD")
    answers = [publisher.flag(identifier, "a-key-of-mine", quality="BAD", reason="a trail") for _ in range(2)]
    assert answers[0].status_code == 200, answers[0].text
    assert answers[0].json() == answers[1].json()
    assert [entry.op for entry in server.archive.entries()] == ["begun", "added", "flagged"]
    n, id_, op, _, quality, who, why, token = answers[0].json()["entries"][0]
    assert (n, id_, op, quality, who, why) == (3, identifier, "flagged", "BAD", "keck", "a trail")
    assert answers[0].json()["newest"] == [3, token]


def test_flags_that_cannot_be_are_problems(server, publisher):
    assert kind(publisher.flag("no-such-id", quality="BAD", reason="x")) == (404, "CalibrationNotFoundError")
    (identifier,) = server.archive.insert("a.fits", quality="GOOD")
    assert publisher.flag(identifier, quality="MEDIOCRE", reason="x").status_code == 422
    assert publisher.flag(identifier, quality="BAD", reason="x", key="short").status_code == 422
    assert kind(publisher.flag(identifier, quality="BAD", reason="a\x00b")) == (422, "invalid-request")
    assert kind(publisher.flag("a%00b", quality="BAD", reason="x")) == (422, "invalid-request")
    assert server.archive.rows()["a.fits"]["quality"] == "GOOD"


def test_who_has_no_token_for_it_writes_nothing(server):
    (identifier,) = server.archive.insert("a.fits", quality="GOOD")
    reader, judge = (Publisher(server, server.token(scope, name=scope)) for scope in ("read", "flag"))
    for one, status in ((Publisher(server, "koa_unknown"), 401), (reader, 403), (judge, 403)):
        assert one.put(b"x").status_code == status
        assert one.publish(row(), planned={}).status_code == status
        assert one.ask("POST", "publications", data=b" " * (33 << 20)).status_code == status
        assert one.plan(row()).status_code == status
        assert one.ask("POST", "placements", {"files": {}}).status_code == status
    assert reader.flag(identifier, quality="BAD", reason="x").status_code == 403
    assert judge.flag(identifier, quality="BAD", reason="x").status_code == 200
    assert (list(server.archive.rows()), server.staged()) == (["a.fits"], [])


def test_a_server_that_serves_for_reading_only_says_so(archive, tmp_path):
    with serving(archive, tmp_path / "server", is_writable=False) as server:
        publisher = Publisher(server, server.token("publish", "flag"))
        for answer in (publisher.put(b"x"), publisher.plan(row()), publisher.flag("x", quality="BAD", reason="x")):
            assert kind(answer) == (403, "read-only")
