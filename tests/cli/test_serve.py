"""koa-cal serve, as it is typed."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

Run = Callable[..., Any]


class Started:
    """A running command, and where it says that it serves."""

    def __init__(self, started: dict[str, Any]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(**started, stdout=pipe, stderr=pipe, text=True)
        self.first = self.process.stdout.readline()
        found = re.search(r"http://\S+", self.first)
        assert found, self.process.communicate()[1]
        self.url = found[0]

    def get(self, path: str) -> Any:
        with urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def ended(self, by: int) -> tuple[int, str]:
        """Send a signal; gives exit code and stderr."""
        self.process.send_signal(by)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


@pytest.fixture
def serve(command: Run) -> Iterator[Callable[..., Started]]:
    made: list[Started] = []

    def start(*arguments: str) -> Started:
        made.append(Started(command("serve", "-i", "testspec", "--port", "0", *arguments)))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.communicate()


@pytest.mark.usefixtures("night")
def test_a_cache_is_served_on_this_machine_until_sigterm(serve: Callable[..., Started]) -> None:
    started = serve()
    assert started.first.startswith("Serving testspec at http://127.0.0.1:")
    assert started.get("/health") == {"status": "up"}
    assert started.get("/ready") == {"status": "ready"}
    (instrument,) = started.get("/api/v1/")["instruments"]
    assert (instrument["name"], instrument["is_writable"]) == ("testspec", False)
    code, said = started.ended(signal.SIGTERM)
    assert code == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["message"] for line in lines] == ["serving", *["request"] * 3, "stopping", "stopped"]


@pytest.mark.usefixtures("night")
def test_ctrl_c_ends_it_and_a_word_warns_of_an_address_that_others_reach(serve: Callable[..., Started]) -> None:
    started = serve("--host", "0.0.0.0")
    assert started.get("/health") == {"status": "up"}
    code, said = started.ended(signal.SIGINT)
    assert code == 130
    first, *_, last = said.splitlines()
    assert first.startswith("koa-cal: ")
    assert "TLS" in first
    assert last == "koa-cal: interrupted"


def test_an_archive_that_does_not_answer_is_told_by_ready_and_stops_nothing(
    serve: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", f"postgresql://reader:secret-word@127.0.0.1:{port}/koa")
    started = serve()
    assert started.get("/health") == {"status": "up"}
    with pytest.raises(OSError, match="503") as found:
        started.get("/ready")
    body = found.value.read().decode()
    assert json.loads(body)["reasons"].keys() == {"testspec"}
    with pytest.raises(OSError, match="503") as asked:
        started.get("/api/v1/testspec/state")
    body += asked.value.read().decode()
    assert not {"127.0.0.1", "reader", "pgpass"} & set(re.findall(r"[\w.]+", body))
    code, said = started.ended(signal.SIGTERM)
    assert code == 0
    assert f"127.0.0.1:{port}" in said
    assert "secret-word" not in body + said + started.first


@pytest.mark.usefixtures("archive")
def test_an_archive_is_served_for_writing_and_followed_for_the_pages(serve: Callable[..., Started], typed: Run) -> None:
    typed("remote", "init").ended(0)
    started = serve()
    assert started.get("/ready") == {"status": "ready"}
    assert started.get("/api/v1/")["instruments"][0]["is_writable"]
    begun = time.time()
    while True:
        with urlopen(started.url + "/metrics", timeout=30) as answer:
            counters = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
        if float(counters['koa_followed_timestamp_seconds{instrument="testspec"}']) > begun - 60:
            break
        assert time.time() < begun + 30
        time.sleep(0.1)
    assert 'koa_database_connections{instrument="testspec"}' in counters
    assert not [name for name in counters if "_created" in name]
    assert started.ended(signal.SIGTERM)[0] == 0


def test_a_check_tells_what_the_token_allows_and_who_keeps_tokens_needs_no_cache_folder(
    serve: Callable[..., Started], typed: Run, koa_cal: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("remote", "init").ended(0)
    started = serve()
    with monkeypatch.context() as keeper:
        keeper.delenv("KOA_CALIBRATION_CACHE")
        token = koa_cal("token", "add", "tom", "--scope", "publish").ended(0).out.strip()
        elsewhere = koa_cal("token", "list").ended(0).out
        assert "tom" in elsewhere
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", started.url)
    monkeypatch.delenv("KOA_CALIBRATION_URL")
    assert "token" not in typed("status", "--check").ended(0).out
    monkeypatch.setenv("KOA_ACCESS_TOKEN", token)
    assert "the token in KOA_ACCESS_TOKEN allows publish" in typed("status", "--check").ended(0).out
    monkeypatch.setenv("KOA_ACCESS_TOKEN", f"{token}x")
    (archive, *_) = typed("status", "--check", "--json").ended(1).json["check"]
    assert not archive["ok"]
    assert "the token in KOA_ACCESS_TOKEN does not hold" in archive["said"]


def test_a_port_that_is_taken_is_wrong_usage_in_one_line(koa_cal: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = koa_cal("serve", "-i", "testspec", "--port", port).ended(2).said
    assert str(port) in said
    assert "--port" in said


@pytest.mark.parametrize("arguments", [["--port", "65536"], ["--port", "http"], ["--rate-limit", "0"]])
def test_what_is_no_port_or_no_rate_is_wrong_usage(koa_cal: Run, arguments: list[str]) -> None:
    assert "usage: koa-cal serve" in koa_cal("serve", "-i", "testspec", *arguments).ended(2).err


def test_an_unknown_instrument_is_said_before_anything_is_served(koa_cal: Run) -> None:
    assert "nosuch" in koa_cal("serve", "-i", "testspec", "-i", "nosuch", "--port", "0").ended(2).said


def test_without_the_extra_the_command_that_brings_it_is_said(koa_cal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = koa_cal("serve", "-i", "testspec").ended(2).said
    assert "uvicorn" in said
    assert "pip install 'koa-middleware[server]'" in said


def test_no_other_command_and_no_help_loads_what_the_server_needs(command: Run) -> None:
    script = (
        "import sys; from koa_middleware.cli import main\n"
        "try: main(['serve', '--help'])\nexcept SystemExit: pass\n"
        "main(['status', '-i', 'testspec'])\n"
        "print(sorted({'fastapi', 'uvicorn', 'starlette', 'jinja2', 'prometheus_client'} & set(sys.modules)))"
    )
    env = command("status")["env"]
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_cache_folder_that_is_not_there_is_not_made_to_be_served(
    koa_cal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "calibratons"
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(missing))
    said = koa_cal("serve", "-i", "testspec", "--port", "0").ended(2).err
    assert f"The cache folder {missing} does not exist" in said
    assert not missing.exists()
