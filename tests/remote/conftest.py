"""Archives, and clients of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from koa_middleware.fetch import retries
from koa_middleware.server import state_cache
from survey import KINDS, Archive, Client
from web import starting


@pytest.fixture
def kind() -> str:
    """The kind of the archive; a test that holds for all is given each."""
    return "postgresql"


@pytest.fixture
def archive(fresh_database: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """An empty archive of its own; a server before it keeps no state, and is asked again at once."""
    monkeypatch.setattr(state_cache, "KEEP_S", 0.0)
    monkeypatch.setattr(retries, "BACKOFF_S", 0.01)
    found = KINDS[kind](fresh_database)
    yield found
    found.close()


@pytest.fixture
def new_client(tmp_path: Path, archive: Archive) -> Iterator[Callable[[], Client]]:
    """Make clients with empty databases."""
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(tmp_path / f"client-{len(made)}.db", archive))
        return made[-1]

    yield make
    for client in made:
        client.database.close()


@pytest.fixture
def client(new_client: Callable[[], Client]) -> Client:
    """A client with an empty database."""
    return new_client()


@pytest.fixture
def starter() -> Iterator[subprocess.Popen[str]]:
    """A process that starts clients which can be killed; see follower.py."""
    script = Path(__file__).with_name("follower.py")
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="session")
def server_starter() -> Iterator[subprocess.Popen[str]]:
    """A process that starts servers over HTTP which can be killed; see server_process.py."""
    with starting() as process:
        yield process
