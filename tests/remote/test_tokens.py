"""Tokens in an archive's database."""

from __future__ import annotations

import threading

import pytest
from koa_middleware.database.tokens import Token, Tokens, hash_of, new_token
from koa_middleware.exceptions import ConfigurationError, KoaMiddlewareError, RemoteError, SchemaMismatchError
from koa_middleware.instrument.orm import ORMCalibration
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import grants, initialise, planned
from koa_middleware.remote.servers import remote_at
from survey import Survey


@pytest.fixture
def tokens(archive):
    """The archive's tokens, for its owner."""
    return Tokens(remote_at(archive.url, Survey).database)


def test_the_owner_makes_the_table_once_for_all_instruments(archive):
    class Other(ORMCalibration):
        instrument_name = "tokensother"

    made = initialise(archive.engine, Other).statements
    assert any("tokensother" in statement for statement in made)
    assert not any("koa_tokens" in statement for statement in made)
    archive.execute("DROP TABLE koa_tokens")
    assert [statement.split()[:3] for statement in planned(archive.engine, Survey).statements] == [
        ["CREATE", "TABLE", "koa_tokens"],
        ["CREATE", "UNIQUE", "INDEX"],
    ]


def test_an_archive_without_the_table_has_no_tokens_and_takes_none(archive, tokens):
    archive.execute("DROP TABLE koa_tokens")
    assert tokens.living() == tokens.all() == {}
    assert not tokens.revoke("tom")
    with pytest.raises(SchemaMismatchError, match="koa-cal remote init -i survey"):
        tokens.add(new_token(), "tom", ["read"], [], None)


def test_a_token_lives_until_it_is_revoked_or_expires(tokens):
    tom, ann, old = new_token(), new_token(), new_token()
    tokens.add(tom, "tom", ["publish", "read"], ["survey"], None)
    tokens.add(ann, "ann", ["flag"], [], "2999-01-01T00:00:00.000000")
    tokens.add(old, "old", ["flag"], [], "2020-01-01T00:00:00.000000")
    living = tokens.living()
    assert set(living) == {hash_of(tom), hash_of(ann)}
    assert living[hash_of(tom)] == Token("tom", ("read", "publish"), ("survey",), living[hash_of(tom)].made)
    assert tokens.revoke("tom")
    assert not tokens.revoke("tom")
    assert set(tokens.living()) == {hash_of(ann)}
    assert [each.name for each in tokens.all().values()] == ["tom", "ann", "old"]


def test_of_two_who_take_a_name_at_once_one_gets_it(tokens):
    outcomes, begin = [], threading.Barrier(4)

    def take():
        begin.wait()
        try:
            tokens.add(new_token(), "tom", ["read"], [], None)
            outcomes.append("taken")
        except ConfigurationError:
            outcomes.append("refused")

    takers = [threading.Thread(target=take) for _ in range(4)]
    for each in takers:
        each.start()
    for each in takers:
        each.join()
    assert sorted(outcomes) == ["refused", "refused", "refused", "taken"]


def test_the_printed_grants_let_the_servers_role_know_tokens_and_make_none(archive, tokens):
    tokens.add(new_token(), "tom", ["read"], [], None)
    known = next(each for each in grants(archive.engine, Survey.table(), "reader", "{0}") if "koa_tokens" in each)
    assert "reader" not in known
    role = archive.role(known.replace('"{0}"', "{0}"))
    theirs = Tokens(remote_at(role, Survey).database)
    assert len(theirs.living()) == 1
    with pytest.raises(RemoteError, match="ON koa_tokens TO"):
        theirs.add(new_token(), "ann", ["publish"], [], None)
    with pytest.raises(RemoteError, match="ON koa_tokens TO"):
        theirs.revoke("tom")


def test_without_a_right_to_read_them_the_grant_is_named(archive):
    with pytest.raises(KoaMiddlewareError, match="GRANT SELECT ON koa_tokens TO"):
        Tokens(remote_at(archive.role(), Survey).database).living()


def test_no_letters_of_a_token_reach_the_database(archive, tokens):
    token = new_token()
    tokens.add(token, "tom", ["read"], [], None)
    with postgresql_engine(archive.url).connect() as connection:
        (row,) = connection.exec_driver_sql("SELECT koa_tokens::text FROM koa_tokens").scalars()
    assert token not in row
    assert hash_of(token) in row
