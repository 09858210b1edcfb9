"""Archives, and clients of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from survey import Archive, Client


@pytest.fixture
def archive(fresh_database: str) -> Iterator[Archive]:
    """An empty archive in a database of its own."""
    found = Archive(fresh_database)
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
        client.engine.dispose()


@pytest.fixture
def client(new_client: Callable[[], Client]) -> Client:
    """A client with an empty database."""
    return new_client()
