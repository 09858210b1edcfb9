"""A real PostgreSQL server, one for a run, with a database of its own for each test; archives, and clients of them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from koa_middleware.testing.postgres import PostgresServer
from sqlalchemy import create_engine, make_url, text
from survey import Archive, Client

POSTGRES_URL = "KOA_TEST_POSTGRES_URL"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of a superuser, of the server that KOA_TEST_POSTGRES_URL names or else of one made for this run."""
    if url := os.environ.get(POSTGRES_URL):
        yield url
        return
    with PostgresServer() as server:
        yield server.url


@pytest.fixture
def fresh_database(postgres_url: str) -> Iterator[str]:
    """Address of an empty database, for the superuser; it goes after the test."""
    name = f"koa_test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


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
