"""Ctrl-C where Python would lose it, or tell of something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from koa_middleware import CacheError
from koa_middleware.cli.interrupts import interrupts_kept


class Interrupted:
    """What is interrupted when it goes."""

    def __del__(self) -> None:
        raise KeyboardInterrupt


def lose_two_and_go_on() -> None:
    Interrupted()
    Interrupted()
    time.sleep(5)


def test_an_interrupt_that_a_finalizer_drops_comes_again_and_once() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        lose_two_and_go_on()
    time.sleep(0.05)  # the second one would come here


def test_an_error_that_came_of_an_interrupt_is_told_as_that() -> None:
    def fail_where_interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("a class could not be made")

    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        fail_where_interrupted()


def test_a_command_whose_error_came_of_an_interrupt_ends_as_interrupted(
    koa_cal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise CacheError("The database is locked.", "Try again.")

    monkeypatch.setattr("koa_middleware.cli.instruments.run", fail)
    assert koa_cal("instruments").ended(130).err == "koa-cal: interrupted\n"


def test_an_error_of_its_own_stays_that() -> None:
    with pytest.raises(RuntimeError, match="another"), interrupts_kept():
        raise RuntimeError("another")
