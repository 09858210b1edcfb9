"""A locked store gives what its lock file says, by content, wherever the calibrations are; and nothing else."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from astropy.io import fits
from koa_middleware import (
    Bracket,
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    HeaderError,
    InstrumentPlugin,
    KoaMiddlewareError,
    LockFile,
    ORMCalibration,
    QualityWarning,
    Step,
)
from koa_middleware.disk.checksums import digest_of

from tests.conftest import DemoCalibration, dark, record, repetitions, write_fits

pytestmark = pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")

Store = CalibrationStore[DemoCalibration]
Opening = Callable[..., Store]


@pytest.fixture(autouse=True)
def plugin() -> InstrumentPlugin:
    return InstrumentPlugin(
        DemoCalibration,
        [
            CalibrationSelector(cal_type="dark", match=("spectrograph",), direction="bracket"),
            CalibrationSelector(cal_type="flat", anchor="dark"),
            CalibrationSelector(
                cal_type="wls", match_if_known=("era",), prefer=(Step({"lamp": "lfc"}), Step({"lamp": "thar"}))
            ),
        ],
    )


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    return [dark(tmp_path / "night", f"frame{n}.fits", 60000.0 + n, CALTYPE="object") for n in (0, 2, 4, 20)]


@pytest.fixture
def origin(open_demo: Opening, tmp_path: Path) -> Store:
    """Give a store of calibrations that are registered."""
    store = open_demo(tmp_path / "origin")
    for n, mjd in enumerate((60001.0, 60003.0)):
        store.register_calibration(dark(tmp_path / "made", f"dark{n}.fits", mjd))
        store.register_calibration(dark(tmp_path / "made", f"flat{n}.fits", mjd, CALTYPE="flat"))
    store.register_calibration(dark(tmp_path / "made", "wls.fits", 60002.0, CALTYPE="wls", LAMP="ThAr"))
    return store


@pytest.fixture
def lock(origin: Store, frames: list[Path], tmp_path: Path) -> Path:
    return origin.lock(frames).write(tmp_path / "night.lock")


def sums(answers: Any) -> dict[str, list[str]]:
    """Checksums of the files that were given, by type."""
    return {
        name: [digest_of(each.path) for each in (found if isinstance(found, Bracket) else [found]) if each]
        for name, found in answers.items()
    }


def test_it_gives_the_same_when_better_ones_have_come(
    origin: Store, open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    before = [sums(origin.get_calibrations(frame)) for frame in frames]
    choices = [origin.select(frame, "wls").choice for frame in frames]
    for n, mjd in enumerate((60000.0, 60002.0, 60004.0, 60020.0)):
        origin.register_calibration(dark(tmp_path / "new", f"new{n}.fits", mjd, EXPTIME=1.0))
    locked = open_demo(tmp_path / "origin", lock=lock)
    assert [sums(locked.get_calibrations(frame)) for frame in frames] == before
    assert [locked.select(frame, "wls").choice for frame in frames] == choices
    assert all(record.is_fallback for record in locked.select_many(frames, "wls"))  # type: ignore[union-attr]
    assert [sums(origin.get_calibrations(frame)) for frame in frames] != before


def test_every_way_of_asking_gives_the_same(
    origin: Store, open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    locked = open_demo(tmp_path / "origin", lock=LockFile.read(lock))
    plain, sets = origin.select_sets(frames), locked.select_sets(frames)
    assert str(sets) == str(plain)
    assert sets.ok
    for frame, one in zip(frames, plain, strict=True):
        pair, found = one["dark"], locked.select_bracket(frame, "dark")
        assert [each and each.id for each in found] == [each and each.id for each in pair]
        assert found.weight == pair.weight
        assert locked.select(frame, "dark").id == origin.select(frame, "dark").id
        assert list(locked.select_set(frame, ["flat"])) == ["flat"]
    many = locked.select_many(frames, CalibrationSelector(cal_type="dark"))
    assert [each.id for each in many] == [each.id for each in origin.select_many(frames, "dark")]  # type: ignore[union-attr]
    assert {each.filename for each in locked.locked_records()} == {
        "dark0.fits",
        "dark1.fits",
        "flat0.fits",
        "flat1.fits",
        "wls.fits",
    }


def test_a_bundle_brings_the_same_files_to_another_machine(
    origin: Store, open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    origin.export_bundle(tmp_path / "night.tar", open_demo(tmp_path / "origin", lock=lock).locked_records())
    other = open_demo(tmp_path / "other", lock=lock)
    other.register_calibration(dark(tmp_path / "elsewhere", "nearer.fits", 60000.0))
    with pytest.raises(
        CalibrationNotFoundError, match=r"2 calibrations that are not to be had: made .*: dark0.*flat0\.fits"
    ):
        other.get_calibrations(frames[0], ["dark", "flat"])
    other.import_bundle(tmp_path / "night.tar")
    for frame in frames:
        assert sums(other.get_calibrations(frame)) == sums(origin.get_calibrations(frame))


def test_the_same_content_under_another_id_and_name_will_do(
    origin: Store, open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    other = open_demo(tmp_path / "other", lock=lock)
    for path in sorted((tmp_path / "made").iterdir()):
        renamed = tmp_path / "renamed" / f"own-{path.name}"
        renamed.parent.mkdir(exist_ok=True)
        renamed.write_bytes(path.read_bytes())
        other.register_calibration(renamed)
    ids = {each.id for each in origin.query()}
    for frame in frames:
        assert sums(other.get_calibrations(frame)) == sums(origin.get_calibrations(frame))
        assert other.select(frame, "wls").id not in ids


def test_what_the_archive_serves_comes_by_name_and_checksum(
    open_demo: Opening, frames: list[Path], tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    made = dark(archive, "served.fits", 60001.0)
    row = record("served.fits", 60001.0, origin="REMOTE", checksum=digest_of(made), file_size=made.stat().st_size)
    first = open_demo(tmp_path / "first", calibration_url=archive.as_uri())
    first.local_db.add(row)
    lock = first.lock(frames[:1], ["dark"])
    other = open_demo(tmp_path / "other", calibration_url=archive.as_uri(), lock=lock)
    pair = other.get_calibrations(frames[0])["dark"]
    assert pair.after.path.read_bytes() == made.read_bytes()  # type: ignore[union-attr]
    assert pair.after.calibration.id == row.id  # type: ignore[union-attr]
    dark(archive, "served.fits", 60001.0, EXPTIME=9.0)
    again = open_demo(tmp_path / "again", calibration_url=archive.as_uri(), lock=lock)
    with pytest.raises(KoaMiddlewareError, match=r"served\.fits"):
        again.get_calibrations(frames[0])
    without = open_demo(tmp_path / "without", lock=lock)
    with pytest.raises(CalibrationNotFoundError, match=r"not known here: served\.fits \(dark\)"):
        without.select(frames[0], "dark")


def test_an_archive_that_does_not_answer_is_told_with_what_is_lost(
    lock: Path, frames: list[Path], open_demo: Opening, tmp_path: Path
) -> None:
    laptop = open_demo(tmp_path / "laptop", lock=lock, remote_database_url="postgresql://127.0.0.1:1/archive")
    with pytest.raises(CalibrationNotFoundError, match=r"made elsewhere and not known here, and .*127\.0\.0\.1"):
        laptop.select(frames[1], "wls")


def test_other_content_of_the_same_name_is_never_given(
    origin: Store, open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    other = open_demo(tmp_path / "other", calibration_url=(tmp_path / "nowhere").as_uri(), lock=lock)
    for name, kind in (("dark0.fits", "dark"), ("flat0.fits", "flat")):
        other.register_calibration(dark(tmp_path / "imitated", name, 60001.0, CALTYPE=kind, EXPTIME=5.0))
    for name in ("dark", "flat"):
        with pytest.raises(CalibrationNotFoundError, match=rf"{name}0\.fits has other content now, sha256:"):
            other.select(frames[0], name)


def test_another_frame_is_an_error_that_names_the_lock(
    open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    locked = open_demo(tmp_path / "origin", lock=lock)
    other = dark(tmp_path / "night", "other.fits", 60002.0)
    with pytest.raises(CalibrationNotFoundError, match=r"night\.lock has no frame other\.fits"):
        locked.select(other, "dark")
    found = locked.select_sets([other, frames[0]])
    assert list(found[0]) == list(found[1]) == ["dark", "flat", "wls"]
    assert all(isinstance(each, CalibrationNotFoundError) for each in found[0].values())
    assert not found.missing.keys() - {str(other)}


def test_a_header_in_memory_finds_the_frame_that_was_locked_with_its_name(
    origin: Store, open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    header = fits.getheader(frames[1])
    locked = open_demo(tmp_path / "origin", lock=lock)
    assert locked.select(header, "wls").id == locked.select(frames[1], "wls").id
    header["EXPMJDST"] = 60002.5
    with pytest.raises(CalibrationNotFoundError, match=r"night\.lock has no frame of mjd_start 60002\.5"):
        locked.select(header, "wls")


def test_a_header_in_memory_that_several_locked_frames_have_is_an_error(
    origin: Store, open_demo: Opening, frames: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.fits"
    copy.write_bytes(frames[1].read_bytes())
    origin.lock([copy, frames[1]]).write(tmp_path / "both.lock")
    with pytest.raises(CalibrationNotFoundError, match="has no frame of mjd_start"):
        open_demo(tmp_path / "origin", lock=tmp_path / "both.lock").select(fits.getheader(copy), "wls")


def test_a_frame_that_changed_is_an_error_that_names_the_value(
    open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    locked = open_demo(tmp_path / "origin", lock=lock)
    path = dark(tmp_path / "changed", frames[0].name, 60000.25, CALTYPE="object")
    with pytest.raises(CalibrationNotFoundError, match=r"its mjd_start is 60000\.25, the lock's is 60000\.0"):
        locked.get_calibrations(path)
    path = dark(tmp_path / "changed", frames[0].name, 60000.0, DEMOERA="2")
    with pytest.raises(CalibrationNotFoundError, match="its era is 2, the lock's has none"):
        locked.select(path, "dark")
    path = dark(tmp_path / "changed", frames[0].name, 60000.0, EXPTIME=77.0)  # which no rule asks for
    assert locked.select(path, "dark").filename == "dark0.fits"


def test_a_compressed_frame_is_the_same_frame(
    open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    from astropy.io import fits

    packed = tmp_path / "packed" / f"{frames[0].name}.gz"
    packed.parent.mkdir()
    write_fits(packed, dict(fits.getheader(frames[0])))
    assert open_demo(tmp_path / "origin", lock=lock).select(packed, "dark").filename == "dark0.fits"


class TestOfGivenColumns:
    """One frame is locked for each value of a column that its caller gives."""

    FRAME: ClassVar = {"filename": "frame.fits", "mjd_start": 60000.0}

    @pytest.fixture
    def both(self, origin: Store, tmp_path: Path) -> Path:
        InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", given=("spectrograph",))])
        origin.local_db.add(record("red.fits", 60001.0, spectrograph="RSPEC", checksum=f"sha256:{7:064x}"))
        frames = [{**self.FRAME, "spectrograph": name} for name in ("BSPEC", "RSPEC")]
        return origin.lock(frames).write(tmp_path / "both.lock")

    @pytest.mark.parametrize(("spectrograph", "filename"), [("BSPEC", "dark0.fits"), ("RSPEC", "red.fits")])
    def test_each_value_has_its_own(
        self, both: Path, open_demo: Opening, tmp_path: Path, spectrograph: str, filename: str
    ) -> None:
        with open_demo(tmp_path / "origin", lock=both) as locked:
            found = locked.select({**self.FRAME, "spectrograph": spectrograph}, "dark")
        assert found.filename == filename

    def test_the_frame_alone_is_told_what_to_say(self, both: Path, open_demo: Opening, tmp_path: Path) -> None:
        with (
            open_demo(tmp_path / "origin", lock=both) as locked,
            pytest.raises(CalibrationNotFoundError, match=r"the lock's is BSPEC; .* the lock's is RSPEC") as caught,
        ):
            locked.select(self.FRAME, "dark")
        assert "--set spectrograph=..." in caught.value.hint

    def test_they_are_checked_apart(self, both: Path, origin: Store) -> None:
        assert origin.check_lock(both).ok
        origin.flag("red.fits", "BAD", "hot")
        assert len(origin.check_lock(both).differences) == 1
        assert origin.check_lock(both, [{**self.FRAME, "spectrograph": "BSPEC"}]).ok

    def test_what_else_differs_is_refused(self, both: Path, origin: Store) -> None:
        frames = [{**self.FRAME, "mjd_start": mjd, "spectrograph": "BSPEC"} for mjd in (60000.0, 60001.0)]
        with pytest.raises(ConfigurationError, match=r"Two frames have the name frame\.fits"):
            origin.lock(frames)


def test_a_bad_one_is_given_with_a_warning(
    origin: Store, open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    locked = open_demo(tmp_path / "origin", lock=lock)
    origin.flag("dark0.fits", "BAD", "hot pixels")
    with pytest.warns(
        QualityWarning, match=r"dark0\.fits is given as .*night\.lock says.*BAD \(flagged by .*: hot pix"
    ):
        assert locked.select(frames[0], "dark").quality == "BAD"
    origin.flag("wls.fits", "BAD", "no light", here=True)
    with pytest.warns(QualityWarning, match=r"wls\.fits .*BAD here \(judged by .*: no light\)"):
        locked.get_calibrations(frames[3], ["wls"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        locked.select_sets(frames[:1], ["flat"])


def test_what_was_missing_is_missing_still(origin: Store, open_demo: Opening, tmp_path: Path) -> None:
    frame = {"filename": "frame.fits", "mjd_start": 60000.0, "spectrograph": "RSPEC"}
    locked = open_demo(tmp_path / "origin", lock=origin.lock([frame], ["dark"]))
    origin.register_calibration(dark(tmp_path / "new", "red.fits", 60000.0, SPECTROG="RSPEC"))
    with pytest.raises(CalibrationNotFoundError, match=r"the lock has no dark for frame\.fits: .*spectrograph"):
        locked.select(frame, "dark")
    with pytest.raises(CalibrationNotFoundError, match=r"the lock has no flat for frame\.fits"):
        locked.select(frame, "flat")
    assert origin.select(frame, "dark").filename == "red.fits"
    unusable = locked.select_sets([{**frame, "mjd_start": "soon"}])
    assert isinstance(unusable[0]["dark"], CalibrationNotFoundError | HeaderError)


def test_what_the_user_gave_is_given_and_said(
    origin: Store, open_demo: Opening, frames: list[Path], tmp_path: Path
) -> None:
    own = dark(tmp_path / "mine", "own.fits", 60002.5)
    with pytest.warns(UserWarning, match=r"dark1\.fits, which is used as the dark, differs from"):
        origin.lock([{"filename": "red.fits", "mjd_start": 6e4, "spectrograph": "RSPEC"}], use={"dark": "dark1.fits"})
    locks = [origin.lock(frames[:2], use={"dark": given}) for given in ("dark1.fits", own)]
    assert locks[1] == origin.lock(frames[:2], use={"dark": own})
    for lock, name in zip(locks, ("dark1.fits", "own.fits"), strict=True):
        (choice,) = lock.frames[0].of_type("dark")
        assert (choice.calibration, choice.given_by_user) == (name, True)
        assert lock.frames[0].of_type("flat")[0].calibration == "flat1.fits"
    given = open_demo(tmp_path / "origin", lock=locks[0]).select(frames[0], "dark")
    assert (given.filename, given.choice.given_by_user) == ("dark1.fits", True)
    locked = open_demo(tmp_path / "origin", lock=locks[1])
    with pytest.raises(CalibrationNotFoundError, match=r"given by the user, and .*: own\.fits \(dark\)"):
        locked.select(frames[0], "dark")
    origin.register_calibration(own)
    assert locked.get_calibration(frames[0], "dark").path.read_bytes() == own.read_bytes()
    with pytest.raises(ConfigurationError, match="is locked by the lock"):
        locked.get_calibrations(frames[0], use={"dark": "dark0.fits"})


def test_two_calibrations_of_one_name_are_refused(origin: Store, frames: list[Path], tmp_path: Path) -> None:
    own = dark(tmp_path / "mine", "flat0.fits", 60001.0, EXPTIME=9.0)
    with pytest.raises(ConfigurationError, match=r"Two calibrations of the name flat0\.fits"):
        origin.lock(frames, ["dark", "flat"], use={"dark": own})


@pytest.mark.parametrize(
    "ask",
    [
        lambda store, frame: store.explain(frame, "dark"),
        lambda store, frame: store.candidates(frame, "dark"),
        lambda store, frame: store.select_common([frame], "dark"),
        lambda store, frame: store.select(frame, "dark", source="remote"),
        lambda store, frame: store.lock([frame]),
        lambda store, frame: store.select_sets([frame]).lock(),
        lambda store, frame: store.check_lock("night.lock"),
    ],
)
def test_what_asks_a_rule_is_refused(
    open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path, ask: Callable[[Store, Path], Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"locked by .*night\.lock"):
        ask(open_demo(tmp_path / "origin", lock=lock), frames[0])


def test_a_lock_of_another_instrument_is_refused(open_demo: Opening, lock: Path) -> None:
    class Other(ORMCalibration):
        instrument_name = "other"

    with pytest.raises(ConfigurationError, match=r"a lock file of demo, and the store is one of other"):
        open_demo(orm_class=Other, lock=lock)


def test_a_store_without_a_lock_has_no_locked_records(origin: Store) -> None:
    with pytest.raises(ConfigurationError, match="no lock file"):
        origin.locked_records()


def test_a_locked_store_says_so_and_can_be_pickled(
    open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    locked = open_demo(tmp_path / "origin", lock=lock)
    assert "night.lock" in repr(locked)
    lock.unlink()
    with pickle.loads(pickle.dumps(locked)) as copy:
        assert copy.select(frames[0], "dark").filename == "dark0.fits"


def test_a_lock_whose_checksum_was_changed_finds_nothing(
    open_demo: Opening, lock: Path, frames: list[Path], tmp_path: Path
) -> None:
    known = next(each for each in LockFile.read(lock).calibrations if each.filename == "dark0.fits")
    lock.write_text(lock.read_text().replace(known.checksum, f"sha256:{5:064x}"))
    locked = open_demo(tmp_path / "origin", lock=lock)
    with pytest.raises(CalibrationNotFoundError, match=r"dark0\.fits has other content now"):
        locked.select(frames[0], "dark")


@pytest.mark.soak
def test_random_nights_give_the_same_after_whatever_came(open_demo: Opening, tmp_path: Path) -> None:
    import random

    for seed in range(repetitions(1, 100)):
        chance = random.Random(seed)
        store = open_demo(tmp_path / f"cache{seed}")

        def some(number: int, prefix: str, chance: random.Random = chance) -> list[DemoCalibration]:
            return [
                record(
                    f"{prefix}{n}.fits",
                    60000.0 + chance.randrange(200) / 10,
                    cal_type=chance.choice(("dark", "flat", "wls")),
                    lamp=chance.choice(("lfc", "thar", None)),
                    era=chance.choice(("1", "2", None)),
                    spectrograph=chance.choice(("BSPEC", "RSPEC")),
                    checksum=f"sha256:{chance.randrange(2**200):064x}",
                )
                for n in range(number)
            ]

        store.local_db.add(some(40, "old"))
        frames = [
            {
                "filename": f"frame{n}.fits",
                "mjd_start": 60000.0 + chance.randrange(220) / 10,
                "spectrograph": chance.choice(("BSPEC", "RSPEC", "GSPEC")),
                "era": chance.choice(("1", "2", None)),
            }
            for n in range(30)
        ]
        before = store.select_sets(frames)
        lock = before.lock()
        store.local_db.add(some(40, "new"))
        locked = open_demo(tmp_path / f"cache{seed}", lock=LockFile.read(lock.write(tmp_path / f"{seed}.lock")))
        assert names(locked.select_sets(frames)) == names(before)
        assert store.check_lock(lock).now == store.lock(frames)


def names(sets: Any) -> list[dict[str, Any]]:
    """File names that frames get, by type, both of a pair; of errors none."""

    def name(answer: Any) -> Any:
        if isinstance(answer, Bracket):
            return [each and each.filename for each in answer]
        return None if isinstance(answer, KoaMiddlewareError) else (answer.filename, answer.choice)

    return [{cal_type: name(answer) for cal_type, answer in one.items()} for one in sets]
