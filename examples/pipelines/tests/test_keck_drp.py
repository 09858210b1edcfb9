"""Keck's own framework asks the store, alone and with workers that share a queue."""

import socket

import numpy as np
import pytest
from astropy.io import fits
from koa_middleware import open_store


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def made_with(product):
    return fits.getheader(product)["KC01FILE"]


@pytest.fixture(scope="module")
def by_workers(run, frames, tmp_path_factory):
    """The folder of the products of two workers, and what they said."""
    output = tmp_path_factory.mktemp("workers") / "new"
    done = run("keck_drp.py", "hispec", output, *frames, "--workers", 2, "--port", free_port())
    assert done.returncode == 0, done.stderr
    return output, done.stderr


def test_of_forty_frames_by_two_workers_nothing_is_lost(by_workers, frames):
    output, _ = by_workers
    assert sorted(path.name for path in output.iterdir()) == sorted(f"{path.stem}_dark.fits" for path in frames)


def test_each_product_says_with_what_it_was_made(by_workers, frames, demo):
    output, _ = by_workers
    for frame in frames:
        product = output / f"{frame.stem}_dark.fits"
        dark = fits.getdata(demo / "cache" / "calibrations" / made_with(product))
        assert np.array_equal(fits.getdata(product), fits.getdata(frame) - dark)


def test_both_workers_work_and_their_choices_stand_in_the_log(by_workers, frames):
    _, said = by_workers
    lines = [line.split() for line in said.splitlines() if " koa_middleware INFO dark for " in line]
    assert len(lines) == len(frames)
    assert len({process for _, _, process, *_ in lines}) == 2


def test_one_process_makes_the_same(by_workers, run, frames, tmp_path):
    done = run("keck_drp.py", "hispec", tmp_path, *frames)
    assert done.returncode == 0, done.stderr
    output, _ = by_workers
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in output.iterdir())


def test_a_frame_without_a_dark_is_told_with_the_reason_and_the_others_are_reduced(run, frames, tmp_path):
    other = tmp_path / "other.fits"
    with fits.open(frames[0]) as hdus:
        hdus[0].header["INSTERA"] = "7.0.0"
        hdus.writeto(other)
    done = run("keck_drp.py", "hispec", tmp_path / "out", frames[0], other, frames[1])
    assert done.returncode == 1
    assert f"{other} has no product" in done.stderr
    assert "CalibrationNotFoundError: No dark fits instrument_era 7.0.0" in done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_run_with_a_lock_gives_the_same_when_a_nearer_dark_has_come(run, frames, demo, tmp_path):
    lock = tmp_path / "night.lock"
    with open_store("hispec", cache_dir=demo / "cache") as store:
        store.lock(frames[:3], ["dark"]).write(lock)
    first = run("keck_drp.py", "hispec", tmp_path / "first", *frames[:3], "--lock", lock)
    assert first.returncode == 0, first.stderr
    before = made_with(tmp_path / "first" / f"{frames[0].stem}_dark.fits")
    nearer = tmp_path / "nearer.fits"
    with fits.open(demo / "cache" / "calibrations" / before) as hdus:
        hdus[0].header["MJD-OBS"] = 61083.501
        hdus[0].header["KOAID"] = nearer.name
        hdus[0].data = hdus[0].data + 100
        hdus.writeto(nearer)
    with open_store("hispec", cache_dir=demo / "cache") as store:
        new = store.register_calibration(nearer, new_version=True).calibration
        assert run("keck_drp.py", "hispec", tmp_path / "second", *frames[:3], "--lock", lock).returncode == 0
        assert run("keck_drp.py", "hispec", tmp_path / "free", *frames[:3]).returncode == 0
        store.remove(new.id)
    for frame in frames[:3]:
        name = f"{frame.stem}_dark.fits"
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()
        assert made_with(tmp_path / "free" / name) == new.filename
