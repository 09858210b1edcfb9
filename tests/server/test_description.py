"""Whatever is asked within, or against, the API's own description: the answer is as that says, and no error."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from koa_middleware import CalibrationStore, InstrumentPlugin
from koa_middleware.database.tokens import Tokens, new_token
from koa_middleware.remote.folder.remote import FolderRemote
from koa_middleware.remote.postgres.remote import PostgresRemote
from koa_middleware.server.app import Options, make_app
from koa_middleware.server.served import Served

from tests.conftest import DemoCalibration, record, repetitions
from tests.server.shell import Client, running

#: What a request that fits the description may be answered with: what it asks for may not be there, or no longer.
EXPECTED = ["2xx", "3xx", "401", "403", "404", "409", "410", "416", "422", "502", "503"]

#: What a private server tells everybody.
FREE = {"/health", "/ready"}

CONTENT = b"SIMPLE  =                    T".ljust(2880)


def fill(store: CalibrationStore[Any], add: Callable[[list[Any]], Any]) -> list[Any]:
    """Add records, of which some have files; gives them."""
    records = [record(f"dark-{n}.fits", 60000.0 + n, file_size=len(CONTENT)) for n in range(5)]
    for each in records:
        each.checksum = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    for each in records[:3]:
        (store.cache_dir / "calibrations" / each.filename).write_bytes(CONTENT)
    add(records)
    return records


@pytest.fixture(params=["folder", "postgresql"])
def served(request: pytest.FixtureRequest, store: CalibrationStore[Any]) -> Iterator[tuple[Served, list[Any]]]:
    """Give what is served, and its records."""
    plugin = InstrumentPlugin(ORM=DemoCalibration, selectors=[])
    if request.param == "folder":
        yield Served(plugin, store, FolderRemote(store.local_db), False), fill(store, store.local_db.add)
        return
    with closing(PostgresRemote(DemoCalibration, request.getfixturevalue("fresh_database"))) as remote:
        remote.set_up("reader", "publisher")
        yield Served(plugin, store, remote, True), fill(store, remote.database.add)


def known_values(records: list[Any]) -> dict[str, list[str]]:
    """Values by which parameters of routes mean something that is there."""
    return {
        "id": [each.id for each in records],
        "filename": [each.filename for each in records],
        "digits": [hashlib.sha256(CONTENT).hexdigest()],
    }


def test_every_answer_is_as_the_description_of_the_api_says(served: tuple[Served, list[Any]]) -> None:
    import schemathesis
    from schemathesis.generation import GenerationMode

    what, records = served
    token = new_token()
    Tokens(what.remote.database).add(token, "tester", ("read", "publish", "flag"), (), None)
    known = known_values(records)
    with running(make_app([what])) as port:
        checks = {"positive_data_acceptance": {"expected-statuses": EXPECTED}}
        config = schemathesis.Config.from_dict({"checks": checks})
        with closing(Client(port)) as client:
            described = client.ask("/api/v1/openapi.json").json
        api = schemathesis.openapi.from_dict(without_places(described), config=config)
        api.config.update(base_url=f"http://127.0.0.1:{port}")
        for operation in (each.ok() for each in api.get_all_operations()):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if mode is GenerationMode.NEGATIVE and not has_what_can_be_wrong(operation):
                    continue
                ask_all(operation, mode, known, token)


@pytest.mark.parametrize("served", ["folder"], indirect=True)
def test_a_private_server_gives_nothing_that_it_serves_without_a_token(served: tuple[Served, list[Any]]) -> None:
    what, _ = served
    app = make_app([what], Options(is_private=True))
    paths = [path for path, operations in app.openapi()["paths"].items() if "get" in operations]
    pages = ["/", "/demo", "/demo/why", "/demo/night", "/demo/coverage", "/demo/status"]
    with running(app) as port, closing(Client(port)) as client:
        asked = [re.sub(r"\{\w+\}", "a", path.replace("{instrument}", "demo")) for path in [*paths, *pages]]
        answers = {path: client.ask(path).status for path in asked}
    assert {path for path, status in answers.items() if status != 401} == FREE


def without_places(described: Any) -> Any:
    """Give a description whose lists say nothing of each place: the checks read that as an older standard has it."""
    if isinstance(described, list):
        return [without_places(each) for each in described]
    if not isinstance(described, dict):
        return described
    return {name: without_places(each) for name, each in described.items() if name != "prefixItems"}


def ask_all(operation: Any, mode: Any, known: dict[str, list[str]], token: str) -> None:
    """Ask one operation much; a part of what fits asks for what is there."""

    @settings(max_examples=repetitions(3, 500), suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), chosen=st.integers(0, 9))
    def ask(case: Any, chosen: int) -> None:
        if mode.name == "POSITIVE":
            for name in case.path_parameters.keys() & known.keys():
                values = known[name]
                if chosen < len(values):
                    case.path_parameters[name] = values[chosen]
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"})

    ask()


def has_what_can_be_wrong(operation: Any) -> bool:
    """Whether a request for it has parameters or a body."""
    return bool(operation.path_parameters or operation.query or operation.body)
