"""The cache before several servers that docs/scale.md prints, run by the nginx of this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from koa_middleware.remote.sync import SyncResult
from koa_middleware.testing.keeper import Keeper
from servers import free_port
from survey import Archive, Client
from web import Web

from tests.conftest import ROOT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx")


@pytest.fixture
def web(server_starter: subprocess.Popen[str], tmp_path: Path, archive: Archive) -> Iterator[Web]:
    with Web(server_starter, tmp_path, [archive.url, archive.url]) as found:
        yield found


@pytest.fixture
def cached(web: Web) -> Iterator[str]:
    """Address of the cache before two servers."""
    with nginx((ROOT / "docs" / "scale.md").read_text(), web.proxy.ports) as url:
        yield url


@contextmanager
def nginx(page: str, ports: list[int]) -> Iterator[str]:
    """Serve as a page prints it, on other ports and in another folder."""
    keeper, port = Keeper("koa-nginx-"), free_port()
    (printed,) = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    places = "".join(f"{name}_temp_path {keeper.folder}/{name};" for name in ("proxy", "client_body", "fastcgi"))
    places += "".join(f"{name}_temp_path {keeper.folder}/{name};" for name in ("uwsgi", "scgi"))
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        ":8765": f":{ports[0]}",
        ":8766": f":{ports[1]}",
        "/var/cache/nginx": str(keeper.folder),
        "http {": f"http {{ access_log off; {places}",
    }.items():
        assert printed.count(old) == 1
        printed = printed.replace(old, new)
    settings = keeper.write("nginx.conf", f"pid {keeper.folder}/pid; daemon off; error_log stderr;\n{printed}")
    keeper.serve(str(NGINX), "-c", settings, "-e", "stderr")
    try:
        end = time.monotonic() + 10
        while not keeper.serves() or not _answers(port):
            assert time.monotonic() < end, (keeper.folder / "server.log").read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        keeper.stop("TERM")
        keeper.close()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_the_cache_as_printed_answers_polls_and_hides_no_news_for_longer_than_a_second(archive, cached, client, web):
    archive.fill(20)
    assert client.sync(cached) == SyncResult(20, 0, 0, True)
    for number in range(2):
        archive.insert(f"new-{number}.fits")
        end = time.monotonic() + 10
        while client.sync(cached) == SyncResult(0, 0, 0):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert client.rows() == archive.rows()


def test_one_of_two_servers_may_be_killed_behind_the_cache(archive, cached, web, new_client):
    archive.fill(20)
    web.kill(0)
    for _ in range(2):
        client: Client = new_client()
        assert client.sync(cached) == SyncResult(20, 0, 0, True)
        assert client.rows() == archive.rows()
    web.restart(0)
    web.kill(1)
    time.sleep(1)
    archive.delete("HB.1.fits")
    assert client.sync(cached) == SyncResult(0, 0, 1)
    assert client.rows() == archive.rows()


def test_what_a_token_gave_is_not_kept_for_those_without(archive, cached):
    state = f"{cached}/api/v1/survey/state"
    archive.insert("a.fits")
    given = requests.get(state, headers={"authorization": "Bearer x"}, timeout=5).headers.get("etag")
    archive.insert("b.fits")
    time.sleep(0.3)
    assert requests.get(state, timeout=5).headers.get("etag") != given
