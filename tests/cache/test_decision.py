"""What is decided of a record's file, each row a sentence; no disk is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from koa_middleware.cache.decision import (
    Decision,
    Found,
    Here,
    NotToBeHad,
    Spoilt,
    Terms,
    ToCome,
    decide,
    decide_download,
    to_come,
)
from koa_middleware.exceptions import DownloadError, IntegrityError, KoaMiddlewareError, RemoteNotConfiguredError

from tests.conftest import DemoCalibration, record

OWN, SHARED = Path("/cache/calibrations/dark.fits"), Path("/observatory/calibrations/dark.fits")
BAD = "it has 3 bytes, but 5 are recorded"

REMOTE = record(origin="REMOTE", checksum="md5:0")
LOCAL = record(origin="LOCAL", checksum="md5:0")
UNCHECKED = record(origin="REMOTE", checksum=None)

ONLINE, OFFLINE, NO_URL = Terms(), Terms(offline=True), Terms(has_url=False)
FRESH, FRESH_OFFLINE, FRESH_NO_URL = Terms(False), Terms(False, offline=True), Terms(False, has_url=False)

NOTHING = Found(OWN)
OWN_IS_GOOD = Found(OWN, "")
OWN_IS_BAD = Found(OWN, BAD)
SHARED_IS_GOOD = Found(OWN, None, SHARED)
SHARED_IS_BAD = Found(OWN, None, SHARED, BAD)
ONLY_SHARED_IS_GOOD = Found(OWN, BAD, SHARED)
BOTH_ARE_BAD = Found(OWN, BAD, SHARED, BAD)
NAME_IS_TAKEN = Found(OWN, None, is_of_another=True)
OTHERS_FILE = Found(OWN, BAD, is_of_another=True)
OTHERS_FILE_OF_THE_SIZE = Found(OWN, "", is_of_another=True)

BAD_SHARED_ONE_THEN_DOWNLOAD = Spoilt(SHARED, BAD, ToCome(), is_shared=True)


@pytest.mark.parametrize(
    ("one", "found", "terms", "expected"),
    [
        pytest.param(REMOTE, OWN_IS_GOOD, ONLINE, Here(OWN), id="a good file is used"),
        pytest.param(REMOTE, OWN_IS_GOOD, OFFLINE, Here(OWN), id="a good file is used offline too"),
        pytest.param(REMOTE, OWN_IS_GOOD, NO_URL, Here(OWN), id="a good file needs no URL"),
        pytest.param(LOCAL, OWN_IS_GOOD, FRESH, Here(OWN), id="a LOCAL file is used whatever is said of the cache"),
        pytest.param(UNCHECKED, OWN_IS_GOOD, ONLINE, Here(OWN), id="a file without a recorded checksum is used"),
        pytest.param(REMOTE, OTHERS_FILE_OF_THE_SIZE, ONLINE, Here(OWN), id="the same content under one name is used"),
        pytest.param(REMOTE, SHARED_IS_GOOD, OFFLINE, Here(SHARED), id="a good shared file is used where it is"),
        pytest.param(REMOTE, NOTHING, ONLINE, ToCome(), id="a missing file is downloaded"),
        pytest.param(REMOTE, OWN_IS_GOOD, FRESH, ToCome(), id="without the cache a good file is downloaded again"),
        pytest.param(REMOTE, SHARED_IS_GOOD, FRESH, ToCome(), id="without the cache the shared file is passed over"),
        pytest.param(REMOTE, OWN_IS_BAD, ONLINE, Spoilt(OWN, BAD, ToCome()), id="a spoilt file is downloaded again"),
        pytest.param(
            REMOTE,
            ONLY_SHARED_IS_GOOD,
            OFFLINE,
            Spoilt(OWN, BAD, Here(SHARED)),
            id="a good shared file replaces a spoilt one, offline too",
        ),
        pytest.param(
            REMOTE,
            SHARED_IS_BAD,
            ONLINE,
            BAD_SHARED_ONE_THEN_DOWNLOAD,
            id="a spoilt shared file is left, one downloaded",
        ),
        pytest.param(
            REMOTE,
            BOTH_ARE_BAD,
            ONLINE,
            Spoilt(OWN, BAD, BAD_SHARED_ONE_THEN_DOWNLOAD),
            id="where both are spoilt, the archive's is downloaded",
        ),
    ],
)
def test_a_file_is_here_to_come_or_spoilt(one: DemoCalibration, found: Found, terms: Terms, expected: Decision) -> None:
    assert decide(one, found, terms) == expected


LEFT = "it is left where it is"


@pytest.mark.parametrize(
    ("one", "found", "terms", "error", "message", "hint"),
    [
        (REMOTE, NOTHING, OFFLINE, DownloadError, "is not in the cache, and the store is offline", "Unset KOA_OFFLINE"),
        (
            REMOTE,
            NOTHING,
            NO_URL,
            RemoteNotConfiguredError,
            "is not in the cache /cache, and no",
            "Set KOA_CALIBRATION",
        ),
        (
            REMOTE,
            OWN_IS_GOOD,
            FRESH_OFFLINE,
            DownloadError,
            "cannot be downloaded again: the store is offline",
            "Unset",
        ),
        (REMOTE, OWN_IS_GOOD, FRESH_NO_URL, RemoteNotConfiguredError, "cannot be downloaded again: no cal", "Set KOA_"),
        (REMOTE, OWN_IS_BAD, OFFLINE, IntegrityError, f"{OWN} is not what its record says: {BAD}", "Unset KOA_OFFLINE"),
        (
            REMOTE,
            OWN_IS_BAD,
            NO_URL,
            IntegrityError,
            f"{OWN} is not what its record says: {BAD}",
            "Set KOA_CALIBRATION",
        ),
        (REMOTE, BOTH_ARE_BAD, OFFLINE, IntegrityError, f"{OWN} is not what its record says", LEFT),
        (
            REMOTE,
            SHARED_IS_BAD,
            OFFLINE,
            IntegrityError,
            f"{SHARED} in the shared cache is not what",
            "Tell the keeper",
        ),
        (REMOTE, NAME_IS_TAKEN, ONLINE, DownloadError, "another calibration has its name", "koa-cal status"),
        (REMOTE, OTHERS_FILE, ONLINE, DownloadError, "another calibration has its name", "koa-cal status"),
        (REMOTE, NAME_IS_TAKEN, FRESH, DownloadError, "another calibration has its name", "koa-cal status"),
        (
            UNCHECKED,
            OTHERS_FILE_OF_THE_SIZE,
            ONLINE,
            DownloadError,
            "another calibration has its name",
            "koa-cal status",
        ),
        (LOCAL, NOTHING, ONLINE, DownloadError, "it is LOCAL, so the archive does not have it", "Register it again"),
        (LOCAL, OWN_IS_BAD, ONLINE, IntegrityError, f"{OWN} is not what its record says", "Register the right file"),
        (LOCAL, ONLY_SHARED_IS_GOOD, ONLINE, IntegrityError, f"{OWN} is not what its record says", LEFT),
        (LOCAL, SHARED_IS_BAD, ONLINE, IntegrityError, f"{SHARED} in the shared cache is not what", "Tell the keeper"),
    ],
    ids=[
        "offline, a missing file is not to be had",
        "without a URL, a missing file is not to be had",
        "offline, a file does not come again",
        "without a URL, a file does not come again",
        "offline, a spoilt file stays",
        "without a URL, a spoilt file stays",
        "offline, two spoilt files stay",
        "offline, a spoilt shared file is not used",
        "a missing file whose name is taken does not come",
        "the file of another record is never moved aside",
        "a name that is taken is not downloaded to",
        "a file of the same size is not taken for one without a checksum",
        "a missing LOCAL file is nowhere else",
        "a spoilt LOCAL file stays",
        "a spoilt LOCAL file stays beside a good shared one",
        "a spoilt shared file of a LOCAL record is not used",
    ],
)
def test_a_file_that_is_not_to_be_had_says_why_and_what_to_do(
    one: DemoCalibration, found: Found, terms: Terms, error: type[KoaMiddlewareError], message: str, hint: str
) -> None:
    decision = decide(one, found, terms)
    assert isinstance(decision, NotToBeHad)
    assert type(decision.error) is error
    assert message in decision.error.message
    assert hint in decision.error.hint
    assert getattr(decision.error, "path", None) == (
        None if error is not IntegrityError else SHARED if "shared" in message else OWN
    )


def test_a_download_is_decided_whatever_is_here() -> None:
    assert decide_download(REMOTE, OWN_IS_GOOD, FRESH) == ToCome()
    assert isinstance(decide_download(LOCAL, OWN_IS_GOOD, FRESH), NotToBeHad)
    assert isinstance(decide_download(REMOTE, NAME_IS_TAKEN, FRESH), NotToBeHad)


def test_a_decision_tells_whether_it_ends_with_a_download() -> None:
    downloads = [ToCome(), BAD_SHARED_ONE_THEN_DOWNLOAD, Spoilt(OWN, BAD, BAD_SHARED_ONE_THEN_DOWNLOAD)]
    others = [Here(OWN), Spoilt(OWN, BAD, Here(SHARED)), NotToBeHad(DownloadError("no"))]
    assert [to_come(each) for each in [*downloads, *others]] == [True] * 3 + [False] * 3
