"""Input that is made up: whatever comes in, it works or is an error of this package.

`nox -s soak` makes up much more of it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st
from koa_middleware import CalibrationStore, HeaderError, KoaMiddlewareError, available_instruments, get_plugin
from koa_middleware.cache.bundle_file import MANIFEST
from koa_middleware.cli import main
from koa_middleware.disk.checksums import digest_of
from koa_middleware.remote.local_copy import holds_nothing
from koa_middleware.remote.publish import settle
from koa_middleware.settings import VARIABLES, resolve
from sqlalchemy import text as sql_text

from tests.conftest import DemoCalibration, dark, files_under, record, repetitions, write_fits
from tests.system.test_broken_database import DARK, DATABASE, STORE, bare_error
from tests.system.test_odd_headers import NAMES, ODD, keywords_of, outcomes

Store = CalibrationStore[DemoCalibration]

#: Where an example takes a store and files of its own.
costly = settings(max_examples=repetitions(4, 1000), suppress_health_check=list(HealthCheck))

SQL = [
    "'; DROP TABLE demo_calibrations; --",
    '"; DELETE FROM demo_calibrations; --',
    "x' OR '1'='1",
    "%_?:id$1{}\\",
    "NULL",
    "1; ATTACH 'x' AS y",
    "') UNION SELECT * FROM koa_versions --",
    "/* */ `[]`",
]

#: Text as it comes from people, disks and other programs.
TEXTS = st.one_of(
    st.text(max_size=30), st.sampled_from(SQL), st.sampled_from(["", " ", "\n", "é", "e\u0301", "\x1b[2J"])
)
#: What JSON can say.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@contextmanager
def folder() -> Iterator[Path]:
    """Give an empty folder for one example."""
    with tempfile.TemporaryDirectory() as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Path(made)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dark and a bundle of three calibrations."""
    made = tmp_path_factory.mktemp("night")
    with CalibrationStore(DemoCalibration, made / "cache") as store:
        for number, origin in enumerate(("LOCAL", "REMOTE", "REMOTE")):
            path = dark(made / "files", f"dark{number}.fits", 60000.0 + number, LAMP="Th'Ar; x")
            store.register_calibration(path, origin=origin)
        store.export_bundle(made / "night.tar", store.query())
    return made


def check_sound(store: Store) -> None:
    """Check that each file here is that of a record, and each record's file has the recorded content."""
    names = {each.filename for each in store.query()}
    files = {path.name: path for path in (store.cache_dir / "calibrations").iterdir()}
    assert files.keys() == names
    for each in store.query():
        if each.checksum is not None:  # as the archive may have none
            assert digest_of(files[each.filename], each.checksum.partition(":")[0]) == each.checksum
    assert not list((store.cache_dir / "partial").iterdir())


# -- headers -----------------------------------------------------------------------------------------------------------

VALUES = st.one_of(st.sampled_from(ODD), JSON, st.binary(max_size=10), st.datetimes(), st.dates(), st.complex_numbers())


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, CalibrationStore[Any]]]:
    """A store of each installed instrument."""
    opened = {
        name: CalibrationStore(get_plugin(name).ORM, tmp_path_factory.mktemp(name)) for name in available_instruments()
    }
    yield opened
    for store in opened.values():
        store.close()


@pytest.mark.parametrize("instrument", available_instruments())
@given(data=st.data())
@settings(max_examples=repetitions(20, 5000))
def test_made_up_cards_are_read_or_refused(
    stores: dict[str, CalibrationStore[Any]], instrument: str, data: st.DataObject
) -> None:
    store = stores[instrument]
    keywords = st.sampled_from(keywords_of(store.orm_class)) | TEXTS
    header = data.draw(st.dictionaries(keywords, VALUES, max_size=8))
    name = data.draw(st.sampled_from(NAMES) | TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes(store, header, name)


@given(changes=st.lists(st.tuples(st.integers(0, 5759), st.binary(min_size=1, max_size=80)), min_size=1, max_size=6))
@settings(max_examples=repetitions(12, 5000), suppress_health_check=list(HealthCheck))
@example(changes=[(320, b"CALTYPE =")])
@example(changes=[(0, b"\0" * 80)])
def test_a_file_with_made_up_bytes_is_registered_or_refused(night: Path, changes: list[tuple[int, bytes]]) -> None:
    content = bytearray((night / "files" / "dark0.fits").read_bytes())
    for place, piece in changes:
        content[place : place + len(piece)] = piece
    with folder() as here, CalibrationStore(DemoCalibration, here / "cache") as store:
        path = here / "odd.fits"
        path.write_bytes(content)
        with suppress(KoaMiddlewareError):
            made = store.register_calibration(path).calibration
            assert store.local_db.query_by_id(made.id).to_dict() == made.to_dict()
        check_sound(store)
        with suppress(KoaMiddlewareError):
            store.select(path, DARK)


# -- file names --------------------------------------------------------------------------------------------------------


def spellings(name: str) -> set[str]:
    """Give a name in the ways in which other disks and people write it."""
    return {name, name.upper(), name.lower(), *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))}


@given(
    stem=st.text(min_size=1, max_size=40) | st.sampled_from([*SQL, "é", "e\u0301", "K", "\u017f", "İ", "..", "a/../b"])
)
@example(stem="Dunkel-é-\u212a")
@costly
def test_a_file_of_any_name_makes_the_round_trip_or_is_refused(night: Path, stem: str) -> None:
    with folder() as here, CalibrationStore(DemoCalibration, here / "a" / "cache", offline=True) as store:
        path = here / "night" / f"{stem}.fits"
        try:
            path.parent.mkdir()
            shutil.copy(night / "files" / "dark0.fits", path)
        except (OSError, ValueError):
            assume(False)
        assume(path.parent == here / "night")
        try:
            made = store.register_calibration(path).calibration
        except KoaMiddlewareError:
            assert files_under(store.cache_dir) == []
            return
        for name in spellings(made.filename):
            assert store.local_db.query_by_filename(name).id == made.id
            with suppress(KoaMiddlewareError):
                store.local_db.add(record(name, mjd=60007.0))
        assert [each.id for each in store.query()] == [made.id]
        assert store.get_calibration_by_id(made.id).path.read_bytes() == path.read_bytes()
        store.export_bundle(here / "one.tar", made)
        with CalibrationStore(DemoCalibration, here / "b" / "cache", offline=True) as other:
            assert other.import_bundle(here / "one.tar").added == [made.filename]
            check_sound(other)
        check_sound(store)
        assert {each.name for each in here.iterdir()} == {"a", "b", "night", "one.tar"}


# -- bundles -----------------------------------------------------------------------------------------------------------


def import_into_nothing(content: bytes) -> None:
    """Take a bundle into an empty cache; check that it is all or nothing, and writes nowhere else."""
    with folder() as here:
        (here / "odd.tar").write_bytes(content)
        with CalibrationStore(DemoCalibration, here / "in" / "cache", offline=True) as store:
            try:
                report = store.import_bundle(here / "odd.tar")
            except KoaMiddlewareError as error:
                event(type(error).__name__)
                assert store.query() == []
            else:
                event(f"{len(report.added)} added")
                assert sorted(report.added) == sorted(each.filename for each in store.query())
                for each in store.query():
                    assert DemoCalibration.complete_row(each.to_dict(), "x") == each.to_dict()
                assert store.import_bundle(here / "odd.tar").added == []
            check_sound(store)
            assert (here / "odd.tar").read_bytes() == content
        assert sorted(each.name for each in here.iterdir()) == ["in", "odd.tar"]
        assert [each.name for each in (here / "in").iterdir()] == ["cache"]


def summed(content: bytearray, block: int) -> None:
    """Correct the checksum of a tar header."""
    content[block + 148 : block + 156] = b"        "
    content[block + 148 : block + 156] = b"%06o\0 " % sum(content[block : block + 512])


@given(data=st.data())
@costly
def test_a_bundle_with_made_up_bytes_is_taken_in_wholly_or_not(night: Path, data: st.DataObject) -> None:
    content = bytearray((night / "night.tar").read_bytes())
    blocks = [place for place in range(0, len(content), 512) if content[place + 257 : place + 262] == b"ustar"]
    for _ in range(data.draw(st.integers(1, 4))):
        block = data.draw(st.sampled_from(blocks))
        match data.draw(st.sampled_from(["header", "anywhere", "cut", "double", "swap"])):
            case "header":
                place = data.draw(st.sampled_from([0, 12, 100, 124, 136, 156, 157, 257, 263, 345]))
                piece = data.draw(st.binary(min_size=1, max_size=12))
                content[block + place : block + place + len(piece)] = piece
                summed(content, block)
            case "anywhere":
                place = data.draw(st.integers(0, len(content) - 1))
                content[place : place + 1] = data.draw(st.binary(min_size=1, max_size=3))
            case "cut":
                del content[data.draw(st.integers(block, len(content))) :]
                content += bytes(512 - len(content) % 512)
            case "double":
                content[block:block] = content[block : block + 512]
            case "swap":
                other = data.draw(st.sampled_from(blocks))
                content[block : block + 512], content[other : other + 512] = (
                    content[other : other + 512],
                    content[block : block + 512],
                )
        blocks = [place for place in blocks if place + 512 <= len(content)] or [0]
    import_into_nothing(bytes(content))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give each place in JSON as its holder and its key."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def rewritten(bundle: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Give a bundle with another manifest; its members have the names that this says, where a tar can hold them."""
    with tarfile.open(bundle) as archive:
        members = [(member, archive.extractfile(member)) for member in archive]
        contents = [stream.read() for _, stream in members if stream is not None]
    manifest = json.loads(contents[0])
    change(manifest)
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        text = json.dumps(manifest).encode()
        for place, content in enumerate([text, *contents[1:]]):
            member = tarfile.TarInfo(MANIFEST if place == 0 else members[place][0].name)
            with suppress(LookupError, TypeError, AttributeError):
                if place:
                    member.name = f"calibrations/{manifest['records'][place - 1]['columns']['filename']}"
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


@given(data=st.data())
@costly
def test_a_bundle_with_a_made_up_manifest_is_taken_in_wholly_or_not(night: Path, data: st.DataObject) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for _ in range(data.draw(st.integers(1, 3))):
            found = list(places(manifest))
            if not found:
                return
            holder, key = data.draw(st.sampled_from(range(len(found))).map(found.__getitem__))
            if isinstance(holder, dict) and data.draw(st.booleans()):
                holder[data.draw(TEXTS)] = data.draw(JSON)
            elif data.draw(st.booleans()):
                del holder[key]
            else:
                holder[key] = data.draw(JSON | st.sampled_from([*NAMES, "../x.fits", "/tmp/x.fits"]))

    try:
        content = rewritten(night / "night.tar", change)
    except (ValueError, tarfile.TarError):
        assume(False)
    import_into_nothing(content)


def test_a_bundle_whose_manifest_has_a_gigabyte_is_refused_before_it_is_read(night: Path, tmp_path: Path) -> None:
    content = bytearray((night / "night.tar").read_bytes())
    content[124:136] = b"%011o\0" % 2**30
    summed(content, 0)
    path = tmp_path / "huge.tar"
    path.write_bytes(content)
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        with pytest.raises(KoaMiddlewareError, match="ends before its member"):
            store.import_bundle(path)
        os.truncate(path, 2**30 + 10240)  # which takes no room on the disk
        with pytest.raises(KoaMiddlewareError, match="too long"):
            store.import_bundle(path)
        assert store.query() == []


def test_a_bundle_may_be_a_link_and_what_is_no_file_is_none(night: Path, tmp_path: Path) -> None:
    (tmp_path / "link.tar").symlink_to(night / "night.tar")
    os.mkfifo(tmp_path / "pipe.tar")
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        for path in (tmp_path / "pipe.tar", tmp_path, Path("/dev/null"), Path("/dev/zero"), tmp_path / "missing.tar"):
            with pytest.raises(KoaMiddlewareError, match=str(path)):
                store.import_bundle(path)
        assert len(store.import_bundle(tmp_path / "link.tar").added) == 3


# -- settings ----------------------------------------------------------------------------------------------------------

SECRET = "s3cr3tw0rd"
#: What an environment variable can hold.
ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40).filter(
    lambda text: SECRET not in text  # which hypothesis finds in this module
)
SIGNS = st.text("/:@?#=%&;,. \t[]\\'\"é\n", max_size=3)
#: URLs and logins with a password, written as people write them.
LOGINS = st.builds(
    "{}me{}:{}{}{}@127.0.0.1:1{}".format,
    st.sampled_from(
        ["postgresql://", "postgres://", "https://", "http://", "file://", "ftp://", "//", "", "jdbc:x://"]
    ),
    SIGNS,
    SIGNS,
    st.just(SECRET),
    SIGNS,
    st.sampled_from(["", "/", "/db", "/x?a=b", "?", "#", " ", "/%zz"]),
) | st.builds(
    "{}127.0.0.1:1/db?password={}{}".format,
    st.sampled_from(["postgresql://", "https://", "", "//", "host="]),
    st.just(SECRET),
    SIGNS,
)


def what_shows(variable: str, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Give all that a store and koa-cal show, and all that they say, with a text in a variable."""
    shown: list[str] = []

    def tell(call: Callable[[], object]) -> None:
        try:
            shown.append(repr(call()))
        except KoaMiddlewareError as error:
            shown.append(f"{error} {error!r} {vars(error)}")

    with folder() as here, pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        patch.chdir(here)
        patch.setenv("KOA_CALIBRATION_CACHE", str(here / "cache"))
        patch.setenv(variable, text)
        tell(lambda: resolve("demo"))
        try:
            is_inside = resolve("demo").cache_dir.is_relative_to(here)
        except KoaMiddlewareError:
            is_inside = True
        if is_inside:
            capsys.readouterr()
            name = available_instruments()[0]
            for command in (["status", "-i", name], ["status", "-i", name, "--json"], ["sync", "-i", name]):
                with suppress(SystemExit):
                    main(command)
            shown += capsys.readouterr()
            shown += [each.name for each in here.rglob("*")]
            tell(lambda: used(shown))
        shown += [str(each.message) for each in warned]
    return "\n".join(shown)


def used(shown: list[str]) -> None:
    """Use all settings of a store but for the file server, which a text may name as any in the world."""
    with CalibrationStore(DemoCalibration) as store:
        shown.append(f"{store!r} {store.settings!r} {store.local_db!r}")
        store.local_db.add(record("a.fits", origin="REMOTE"))
        with suppress(KoaMiddlewareError):
            store.publish([])
        store.sync_from_remote()


@pytest.mark.parametrize("variable", VARIABLES)
@given(text=ANY | LOGINS)
@settings(max_examples=repetitions(3, 400), suppress_health_check=list(HealthCheck))
def test_any_text_in_a_setting_works_or_is_said_and_no_password_shows(
    variable: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert SECRET not in what_shows(variable, text, capsys)


# -- what the database keeps -------------------------------------------------------------------------------------------

#: Values of any kind that SQLite can hold.
CELLS = st.one_of(
    JSON.map(json.dumps),
    TEXTS.filter(lambda text: "\ud800" not in text),
    st.binary(max_size=8),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(["[" * 3000 + "]" * 3000, "9" * 5000, "{}", '{"id": "apart"}', '{"columns": {}}', "null", "[]"]),
)
#: Statements that put a value where only this package writes.
SPOILS = {
    "versions of core": "UPDATE koa_versions SET schema = ? WHERE name = 'koa-middleware'",
    "versions of the class": "UPDATE koa_versions SET schema = ? WHERE name = 'demo'",
    "version": "UPDATE koa_versions SET version = ?",
    "told": "UPDATE koa_versions SET told = ?",
    "conflict": "UPDATE demo_calibrations_conflicts SET record = ?",
    "conflict's reason": "UPDATE demo_calibrations_conflicts SET reason = ?",
    "conflict's name": "UPDATE demo_calibrations_conflicts SET filename = ?",
    "conflict's id": "INSERT INTO demo_calibrations_conflicts SELECT ?, filename, reason, NULL, record "
    "FROM demo_calibrations_conflicts",
    "conflict's local id": "UPDATE demo_calibrations_conflicts SET local_id = ?",
    "feed": "UPDATE demo_calibrations_feed SET id = ?1, op = ?1, at = ?1, quality = ?1, who = ?1, why = ?1, token = ?1",
    "sync": "INSERT OR REPLACE INTO demo_calibrations_sync (one, revision, bookmark, seen, sweep_after, synced_at, "
    "settled, noticed) VALUES (1, ?1, ?1, ?1, ?1, ?1, ?1, ?1)",
    "noticed": "INSERT OR REPLACE INTO demo_calibrations_sync (one, revision, noticed) VALUES (1, 1, ?)",
    "verified files": "UPDATE demo_verified_files SET checksum = ?1, size = ?1, mtime_ns = ?1, inode = ?1",
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache of a LOCAL and a REMOTE dark, of which one is judged, and a row that is kept apart."""
    made = tmp_path_factory.mktemp("kept")
    with CalibrationStore(DemoCalibration, made / "cache") as store:
        mine = store.register_calibration(dark(made / "night", "mine.fits")).calibration
        theirs = store.register_calibration(dark(made / "night", "theirs.fits", 60001.0), origin="REMOTE").calibration
        store.export_bundle(made / "made.tar", [mine, theirs])
        store.flag(mine, "BAD", "why")
        with store.local_db.begin() as connection:
            for one, name in ((mine, "mine"), (theirs, "theirs")):
                connection.exec_driver_sql("UPDATE demo_calibrations SET id = ? WHERE id = ?", (name, one.id))
            apart = json.dumps({**theirs.to_dict(), "id": "apart", "filename": "mine.fits"})
            connection.exec_driver_sql(
                "INSERT INTO demo_calibrations_conflicts VALUES ('apart', 'mine.fits', 'why', 'mine', ?)", (apart,)
            )
    return made


LEFT_OUT = {"close", "rebuild", "publish", "sync_from_remote", "download_calibration"}


def spoilt_uses(here: Path) -> dict[str, str]:
    """Give the errors that are none of ours of all uses of a store on the cache in a folder."""
    found: dict[str, str] = {}

    def use() -> None:
        with CalibrationStore(DemoCalibration, here / "cache", offline=True) as store:
            uses: dict[str, Callable[[], object]] = {
                name: lambda call=call: call(store, here) for name, call in STORE.items() if name not in LEFT_OUT
            } | {
                f"database's {name}": lambda call=call: call(store.local_db, here)
                for name, call in DATABASE.items()
                if name != "close"
            }
            uses["apart"] = lambda: store.get_calibration_by_id("apart")
            uses["conflicts' records"] = lambda: [each.to_dict() for each in store.conflicts()]
            uses["settle"] = lambda: settle(store.local_db, holds_nothing)
            uses["last sync"] = lambda: store.last_sync
            found.update({name: bare_error(call) for name, call in uses.items()})

    found["opening"] = bare_error(use)
    name = "koa-cal rebuild"
    found[name] = bare_error(lambda: CalibrationStore.rebuild(DemoCalibration, here / "cache"))
    return {name: error for name, error in found.items() if error}


@given(spoil=st.sampled_from(sorted(SPOILS)), value=CELLS)
@settings(max_examples=repetitions(3, 1500), suppress_health_check=list(HealthCheck))
@example(spoil="versions of core", value="no JSON")
@example(spoil="versions of the class", value="{}")
@example(spoil="conflict", value="{}")
@example(spoil="conflict's reason", value=b"\xff\0")
def test_garbage_in_what_the_database_keeps_is_said_or_passed_over(kept: Path, spoil: str, value: Any) -> None:
    with folder() as here:
        shutil.copytree(kept, here, dirs_exist_ok=True)
        raw = sqlite3.connect(here / "cache" / "database" / "demo_calibrations.db")
        try:
            with raw:
                raw.execute(SPOILS[spoil], (value,))
        except (sqlite3.Error, UnicodeEncodeError):
            assume(False)
        finally:
            raw.close()
        assert spoilt_uses(here) == {}


@contextmanager
def spoilt(kept: Path, spoil: str, value: Any) -> Iterator[Store]:
    """Give a store on a copy of the kept cache, in whose database a value stands where only this package writes."""
    with folder() as here:
        shutil.copytree(kept, here, dirs_exist_ok=True)
        with closing(sqlite3.connect(here / "cache" / "database" / "demo_calibrations.db")) as raw, raw:
            raw.execute(SPOILS[spoil], (value,))
        with CalibrationStore(DemoCalibration, here / "cache", offline=True) as store:
            yield store


@pytest.mark.parametrize("spoil", ["versions of core", "versions of the class"])
@pytest.mark.parametrize("value", ["no JSON", "{}", "[]", b"\xff", '{"columns": {"a": {"type": 3}}}', "[" * 100_000])
def test_a_database_whose_notes_of_versions_are_spoilt_opens_and_gets_new_ones(
    kept: Path, spoil: str, value: Any
) -> None:
    with spoilt(kept, spoil, value) as store:
        assert [each.name for each in store.local_db.versions()] == ["koa-middleware", "demo"]
        assert len(store.query()) == 2
        store.flag("mine", "GOOD", "looked again")


@pytest.mark.parametrize("value", ["no JSON", "{}", "[]", "9" * 5000, '{"id": "another", "filename": "x.fits"}'])
def test_a_row_that_is_kept_apart_and_spoilt_says_so_where_it_is_asked_for(kept: Path, value: str) -> None:
    with spoilt(kept, "conflict", value) as store:
        (conflict,) = store.conflicts()
        assert (conflict.id, conflict.local_id) == ("apart", "mine")
        assert conflict.to_dict()["record"] == value
        for ask in (lambda: conflict.record, lambda: store.local_db.query_by_id("apart")):
            with pytest.raises(HeaderError, match=r"The row apart of the archive.*koa-cal sync --full"):
                ask()
        settle(store.local_db, holds_nothing)
        assert len(store.conflicts()) == 1


# -- SQL ---------------------------------------------------------------------------------------------------------------


@given(text=st.sampled_from(SQL) | st.text(max_size=20))
@costly
@example(text='O\'Brien; "x"')
def test_sql_in_any_text_is_a_row(text: str) -> None:
    with folder() as here, CalibrationStore(DemoCalibration, here / "cache", offline=True) as store:
        kept = store.register_calibration(dark(here / "night", "kept.fits")).calibration
        with suppress(KoaMiddlewareError):
            store.local_db.add(record("version.fits", cal_version=text))
        with suppress(KoaMiddlewareError):
            store.local_db.add(record(f"{text}.fits", id=text, spectrograph=text, era=text))
            made = store.local_db.query_by_filename(f"{text}.fits")
            assert made.era is None or made.era == text.strip()
            if text.strip():
                assert made.id == text.strip()
                assert store.local_db.query_by_id(text).to_dict() == made.to_dict()
            assert store.select({"mjd_start": 60000.0, "spectrograph": text}, DARK).spectrograph is not None
        for name in (text, kept.id):
            for call in (
                lambda: store.flag(name, "BAD", text or "x"),  # noqa: B023
                lambda: store.flag(kept, text, "why"),
                lambda: store.query(text),
                lambda: store.local_db.query(cal_type=text),
                lambda: store.local_db.count(text),
                lambda: store.local_db.find(text),
                lambda: store.prune(cal_type=text),
                lambda: store.remove(text, dry_run=True),
                lambda: store.select({"mjd_start": 60000.0, "spectrograph": text}, text),
            ):
                with suppress(KoaMiddlewareError):
                    call()
        assert store.local_db.query_by_id(kept.id).filename == "kept.fits"
        said = store.local_db.execute(sql_text("SELECT why FROM demo_calibrations_feed WHERE op = 'flagged'"))
        assert {why for (why,) in said} <= {text.strip() or text, text, "x"}


# -- measures ----------------------------------------------------------------------------------------------------------


def test_a_value_of_ten_megabytes_is_read_or_refused(store: Store, tmp_path: Path) -> None:
    huge = "x" * 10_000_000
    for column in ("LAMP", "SPECTROG", "CALTYPE", "EXPMJDST", "EXPTIME", "CALVER", "DATE-OBS"):
        header = {"CALTYPE": "dark", "EXPMJDST": 60000.0, column: huge}
        with suppress(KoaMiddlewareError):
            store.orm_class.values_from_header(header, "x.fits")
        with suppress(KoaMiddlewareError):
            store.select(header, DARK)


def test_an_error_about_a_huge_value_is_short(store: Store) -> None:
    with pytest.raises(KoaMiddlewareError) as caught:
        store.orm_class.values_from_header({"CALTYPE": "dark", "EXPMJDST": "9x" * 5_000_000}, "x.fits")
    assert len(str(caught.value)) < 1000


def test_a_file_of_two_thousand_extensions_is_registered(store: Store, tmp_path: Path) -> None:
    path = dark(tmp_path, "many.fits")
    extension = fits.ImageHDU(name="EXTRA").header.tostring().encode()
    with path.open("ab") as stream:
        stream.write(extension * 2000)
    store.local_db.add(record("chosen.fits", mjd=59999.0))
    assert store.register_calibration(path).calibration.cal_type == "dark"
    assert store.select(path, DARK).filename == "chosen.fits"


@pytest.mark.parametrize("axes", [(10_000_000_000_000,), (3_000_000, 3_000_000)])
def test_a_header_that_claims_ten_terabytes_is_that_of_a_cut_file(
    store: Store, tmp_path: Path, axes: tuple[int, ...]
) -> None:
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", len(axes))])
    for number, length in enumerate(axes, 1):
        header[f"NAXIS{number}"] = length
    header.update({"CALTYPE": "dark", "EXPMJDST": 60000.0, "SPECTROG": "BSPEC"})
    path = tmp_path / "claims.fits"
    path.write_bytes(header.tostring().encode() + bytes(2880))
    with pytest.raises(KoaMiddlewareError, match=r"claims\.fits"):
        store.register_calibration(path)
    assert files_under(store.cache_dir) == []


@pytest.mark.parametrize(
    ("time", "stored"),
    [
        ("1899-12-31T23:59:59.999", None),
        ("1900-01-01T00:00:00", "1900-01-01T00:00:00.000"),
        ("2016-12-31T23:59:60", "2017-01-01T00:00:00.000"),
        ("2016-12-31T23:59:60.5", "2017-01-01T00:00:00.500"),
        ("2099-12-31T23:59:59.999", "2099-12-31T23:59:59.999"),
        ("2099-12-31T23:59:60", None),
        ("2100-01-01T00:00:00", None),
        ("2026-02-12T23:59:61", None),
    ],
)
def test_times_at_the_edges_of_the_years_of_observations(
    store: Store, tmp_path: Path, time: str, stored: str | None
) -> None:
    path = write_fits(tmp_path / "edge.fits", {"CALTYPE": "dark", "DATE-OBS": time})
    if stored is None:
        with pytest.raises(KoaMiddlewareError, match=time[:10]):
            store.register_calibration(path)
    else:
        assert store.register_calibration(path).calibration.datetime_obs == stored
