"""A store that publishes to an archive over HTTP: rows, versions and files, whatever happens in between."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from koa_middleware import CalibrationStore
from koa_middleware.exceptions import (
    CacheError,
    DuplicateCalibrationError,
    IntegrityError,
    RemoteError,
    RemoteUnavailableError,
    SchemaMismatchError,
)
from koa_middleware.instrument.columns import fits_column
from koa_middleware.instrument.orm import TEXT, ORMCalibration
from served import cutting, serving, until
from sqlalchemy.orm import Mapped
from survey import Survey

from tests.conftest import dark, run_python


@pytest.fixture
def server(archive, tmp_path):
    with serving(archive, tmp_path / "server") as found:
        yield found


@pytest.fixture
def open_store(server, tmp_path, monkeypatch):
    """Open a store that may publish, on a cache folder of a name."""
    monkeypatch.setenv("KOA_ACCESS_TOKEN", server.token("publish", "flag"))
    opened = []

    def opening(name="keck", url=server.url, orm_class=Survey):
        opened.append(CalibrationStore(orm_class, tmp_path / name, remote_database_url=url))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


def registered(store, folder, name="dark.fits", mjd=61042.0, **more):
    path = dark(folder, name, mjd, **more)
    store.register_calibration(path)
    return path.read_bytes()


def test_the_files_of_new_records_go_to_the_server_with_them(open_store, server, tmp_path):
    store = open_store()
    contents = {
        name: registered(store, tmp_path / "made", name, mjd)
        for name, mjd in (("a.fits", 61001.0), ("b.fits", 61002.0))
    }
    result = store.publish()
    assert (result.published, result.not_uploaded) == (2, [])
    assert server.files() == contents
    assert server.staged() == []
    assert store.publish().not_uploaded == []
    observer = open_store("observer")
    observer.sync_from_remote()
    assert len(observer.local_db) == 2


def test_files_of_records_that_were_published_without_them_come_with_the_next_publication(open_store, server, tmp_path):
    store = open_store(url=server.archive.url)
    content = registered(store, tmp_path / "made")
    assert store.publish().not_uploaded == ["dark.fits"]
    assert server.files() == {}
    result = open_store().publish()
    assert (result.published, result.not_uploaded) == (0, [])
    assert server.files() == {"dark.fits": content}


def test_a_file_gets_the_name_of_the_servers_version_on_both_sides(open_store, server, tmp_path):
    server.archive.insert(
        "dark.001.fits", checksum="sha256:7e115", datetime_obs="2026-01-02T00:00:00.000", spectrograph="BSPEC"
    )
    store = open_store()
    content = registered(store, tmp_path / "made", mjd=61042.0)
    result = store.publish()
    assert dict(result.renamed) == {"dark.fits": "dark.002.fits"}
    assert server.files() == {"dark.002.fits": content}
    assert [path.name for path in (store.cache_dir / "calibrations").iterdir()] == ["dark.002.fits"]


def test_files_go_to_a_folder_that_is_named_and_then_not_to_the_server(open_store, server, tmp_path):
    store = open_store()
    content = registered(store, tmp_path / "made")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert store.publish(upload_to=folder).not_uploaded == []
    assert (server.files(), (folder / "dark.fits").read_bytes()) == ({}, content)


def test_publishers_at_once_get_different_versions_and_all_files_are_there(open_store, server, tmp_path):
    stores = [open_store(f"publisher-{number}") for number in range(4)]
    for number, store in enumerate(stores):
        registered(store, tmp_path / f"made-{number}", f"dark-{number}.fits", NUMBER=number)
    threads = [threading.Thread(target=store.publish) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = server.archive.rows()
    assert sorted(row["cal_version"] for row in rows.values()) == ["001", "002", "003", "004"]
    assert sorted(server.files()) == sorted(rows)
    for store in stores:
        (record,) = [record for record in store.query() if store.calibration_in_cache(record)]
        assert server.files()[record.filename] == store.get_local_filepath(record).read_bytes()


def test_a_record_without_its_file_or_with_another_is_not_published(open_store, server, tmp_path):
    store = open_store()
    registered(store, tmp_path / "made")
    path = store.cache_dir / "calibrations" / "dark.fits"
    path.write_bytes(b"spoilt")
    with pytest.raises(IntegrityError, match=r"dark\.fits was not sent to the archive: it has 6 bytes"):
        store.publish()
    path.unlink()
    with pytest.raises(IntegrityError, match=r"dark\.fits was not sent to the archive: it is missing"):
        store.publish()
    assert (server.archive.rows(), server.files()) == ({}, {})


def test_a_server_without_room_says_so_and_nothing_is_published(open_store, server, tmp_path, monkeypatch):
    from koa_middleware.server import uploads

    store = open_store()
    registered(store, tmp_path / "made")
    monkeypatch.setattr(uploads, "RESERVE", 1 << 60)
    with pytest.raises(CacheError, match=r"The archive's server has .* free; this upload needs"):
        store.publish()
    assert server.archive.rows() == {}


def test_a_name_that_is_taken_here_is_no_name_there(open_store, server, tmp_path):
    server.archive.insert(
        "dark.001.fits", checksum="sha256:7e115", datetime_obs="2026-01-02T00:00:00.000", spectrograph="BSPEC"
    )
    store = open_store()
    registered(store, tmp_path / "made", mjd=61042.0)
    registered(store, tmp_path / "made", "dark.002.fits", 61050.0)
    with pytest.raises(DuplicateCalibrationError, match=r"dark\.002\.fits"):
        store.publish([record for record in store.query() if record.filename == "dark.fits"])
    assert list(server.archive.rows()) == ["dark.001.fits"]


def test_a_file_is_compared_where_the_archive_has_another_kind_of_checksum(open_store, server, tmp_path):
    import hashlib

    store = open_store()
    content = registered(store, tmp_path / "made")
    (record,) = store.query()
    known = hashlib.md5(content, usedforsecurity=False).hexdigest()
    server.archive.insert("dark.fits", id=record.id, checksum=f"md5:{known}", datetime_obs=record.datetime_obs)
    assert (store.publish().unchanged, server.files()) == (1, {"dark.fits": content})


def test_who_may_not_publish_or_flag_changes_nothing(open_store, server, tmp_path, monkeypatch):
    (identifier,) = server.archive.insert("a.fits", quality="GOOD")
    monkeypatch.setenv("KOA_ACCESS_TOKEN", server.token("read", name="observer"))
    store = open_store()
    store.sync_from_remote()
    registered(store, tmp_path / "made")
    with pytest.raises(RemoteError, match="lacks the scope publish"):
        store.publish()
    with pytest.raises(RemoteError, match="lacks the scope flag"):
        store.flag(identifier, "BAD", "a trail")
    assert (list(server.archive.rows()), server.files()) == (["a.fits"], {})
    assert server.archive.rows()["a.fits"]["quality"] == "GOOD"


def test_an_archive_that_is_read_only_says_so(archive, tmp_path, monkeypatch):
    with serving(archive, tmp_path / "server", is_writable=False) as server:
        monkeypatch.setenv("KOA_ACCESS_TOKEN", server.token("publish", "flag"))
        with CalibrationStore(Survey, tmp_path / "keck", remote_database_url=server.url) as store:
            registered(store, tmp_path / "made")
            with pytest.raises(RemoteError, match="for reading only"):
                store.publish()


class Newer(ORMCalibration):
    """The survey's next version: a column has another name, one is new."""

    instrument_name = "survey"
    version_family = ("spectro",)

    spectro: Mapped[str | None] = fits_column("SPECTROG", TEXT, default=None, renamed_from=("spectrograph",))
    instrument_era: Mapped[str] = fits_column("INSTERA", TEXT, default="0.0.1")
    seeing: Mapped[str] = fits_column("SEEING", TEXT, default="fair")


def test_a_newer_plugin_publishes_to_an_older_server_what_that_has_columns_for(open_store, server, tmp_path):
    store = open_store(orm_class=Newer)
    registered(store, tmp_path / "made")
    assert store.publish().published == 1
    assert server.archive.rows()["dark.fits"]["spectrograph"] == "BSPEC"
    registered(store, tmp_path / "made", "b.fits", 61050.0, SEEING="poor")
    with pytest.raises(SchemaMismatchError, match="seeing") as caught:
        store.publish()
    assert caught.value.missing == ["seeing"]


@pytest.mark.parametrize("cut", ["publications", "judgements"])
def test_a_request_whose_answer_was_cut_off_counts_once(open_store, server, tmp_path, cut):
    with cutting(server.url, cut) as (url, cuts):
        store = open_store(url=url)
        registered(store, tmp_path / "made")
        store.publish()
        (record,) = store.query()
        store.flag(record, "BAD", "a trail")
        assert len(cuts) == 1
    assert [entry.op for entry in server.archive.entries()] == ["begun", "added", "flagged"]
    assert len(server.files()) == 1


def test_an_archive_that_goes_away_while_it_is_published_to_is_published_to_again(open_store, server, tmp_path):
    with cutting(server.url, "publications", always=True) as (url, cuts):
        store = open_store(url=url)
        registered(store, tmp_path / "made")
        with pytest.raises(RemoteUnavailableError, match="publish again, which doubles nothing"):
            store.publish()
        assert len(cuts) > 1
    assert [record.origin for record in store.query()] == ["LOCAL"]
    again = open_store().publish()
    assert (again.published, again.unchanged, again.not_uploaded) == (0, 1, [])
    assert [entry.op for entry in server.archive.entries()] == ["begun", "added"]


#: Serves an archive, by its address, from a cache folder; prints where.
SERVER = """
import sys
from pathlib import Path
from http_server import mount
from koa_middleware import CalibrationStore, InstrumentPlugin
from koa_middleware.remote.servers import remote_at
from koa_middleware.server.app import make_app
from koa_middleware.server.served import Served
from survey import Survey

store = CalibrationStore(Survey, Path(sys.argv[2]))
print(mount(make_app([Served(InstrumentPlugin(Survey), store, remote_at(sys.argv[1], Survey), True)])), flush=True)
sys.stdin.read()
"""

#: Publishes all from a cache folder.
PUBLISHER = """
import os, sys
from pathlib import Path
from koa_middleware import CalibrationStore
from survey import Survey

os.environ["KOA_ACCESS_TOKEN"] = sys.argv[3]
CalibrationStore(Survey, Path(sys.argv[2]), remote_database_url=sys.argv[1]).publish()
"""


@contextmanager
def no_commit(archive, is_reached):
    """Let publications wait with their commit, until a condition holds; ends the wait after the block."""
    with archive.transaction() as owner:
        owner.execute(f"LOCK TABLE {Survey.table().name}_feed_lock IN ACCESS EXCLUSIVE MODE")
        yield lambda: until(is_reached)


def test_a_publisher_that_is_killed_publishes_again(open_store, server, tmp_path):
    content = registered(open_store(), tmp_path / "made")
    token = server.token("publish", name="killed")
    with no_commit(server.archive, server.files) as wait:
        process = run_python(PUBLISHER, server.url, tmp_path / "keck", token, path=Path(__file__).parent)
        wait()
        process.kill()
        process.communicate()
    result = open_store().publish()
    assert (result.published + result.unchanged, result.not_uploaded) == (1, [])
    assert [entry.op for entry in server.archive.entries()] == ["begun", "added"]
    assert (server.files(), server.staged()) == ({"dark.fits": content}, [])


def test_a_server_that_is_killed_has_taken_all_or_nothing(open_store, server, tmp_path):
    store = open_store()
    content = registered(store, tmp_path / "made")
    process = run_python(SERVER, server.archive.url, server.cache, path=Path(__file__).parent, stdin=subprocess.PIPE)
    with no_commit(server.archive, server.files) as wait, ThreadPoolExecutor() as pool:
        publishing = pool.submit(open_store(url=process.stdout.readline().strip()).publish)
        wait()
        process.kill()
        process.communicate()
        with pytest.raises(RemoteUnavailableError):
            publishing.result()
    assert [record.origin for record in store.query()] == ["LOCAL"]
    assert store.publish().not_uploaded == []
    assert [entry.op for entry in server.archive.entries()] == ["begun", "added"]
    assert (server.files(), server.staged()) == ({"dark.fits": content}, [])
