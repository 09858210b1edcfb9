"""Transfers against a real server that misbehaves. The invariant of all: what stands under a final name is right."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from koa_middleware.download import FileServer, Transfer

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from fault_server import content  # noqa: E402


@pytest.fixture(scope="module")
def port():
    with subprocess.Popen(
        [sys.executable, str(TESTS / "fault_server.py")], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def test_smoke(port, tmp_path):
    s = FileServer(f"http://127.0.0.1:{port}/ok/-", backoff_s=0.01)
    for name in ("a-100000.fits", "b-30000000.fits", "c-0.csv"):
        body = content(name)
        t = Transfer(
            s.url_for({"filename": name}),
            tmp_path / name,
            "sha256:" + hashlib.sha256(body).hexdigest(),
            len(body),
        )
        print(s.fetch(t, tmp_path / "partial"))
        assert (tmp_path / name).read_bytes() == body
    s = FileServer(f"http://127.0.0.1:{port}/cut/3000000", backoff_s=0.01)
    name = "d-30000000.fits"
    body = content(name)
    t = Transfer(
        s.url_for({"filename": name}),
        tmp_path / name,
        "sha256:" + hashlib.sha256(body).hexdigest(),
        len(body),
    )
    print(s.fetch(t, tmp_path / "partial"))
    print(os.listdir(tmp_path / "partial"))
