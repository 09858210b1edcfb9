"""Random tables, frames and rules of a small made instrument, and the selector that says the same as a rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

import koa_middleware
from hypothesis import strategies as st
from koa_middleware import CalibrationSelector, InstrumentPlugin, ORMCalibration, fits_column
from sqlalchemy import Boolean, Float, Index, Integer, String
from sqlalchemy.orm import Mapped

from tests.choosing.oracle import DAY_MS, By, Range, Relative, Row, Rule, Step, decided, is_of, meets


class Sample(ORMCalibration):
    """A calibration of an instrument with a column of each type."""

    instrument_name = "sample"
    __table_args__ = (
        Index(None, "cal_type", "arm", "mjd_start"),
        Index(None, "cal_type", "lamp", "mjd_mid"),
        Index(None, "cal_type", "mjd_mid"),
        Index(None, "cal_type", "valid_from"),
    )

    arm: Mapped[str | None] = fits_column("ARM", String)
    lamp: Mapped[str | None] = fits_column("LAMP", String)
    n_frames: Mapped[int | None] = fits_column("NFRAMES", Integer)
    exposure_time: Mapped[float | None] = fits_column("EXPTIME", Float)
    temperature: Mapped[float | None] = fits_column("TEMP", Float)
    cooled: Mapped[bool | None] = fits_column("COOLED", Boolean)
    mjd_mid: Mapped[float | None] = fits_column("MJDMID", Float)
    valid_from: Mapped[float | None] = fits_column("VALFROM", Float)
    valid_to: Mapped[float | None] = fits_column("VALTO", Float)


# -- tables ------------------------------------------------------------------------------------------------------------

#: Days between the few times at which all happens.
GRID = [60000.0 + days for days in (-40, -2, -1, -0.25, 0, 0.25, 1, 2)]
#: Milliseconds: the same time, or another one.
JITTER = [0, 0, 0, 0, 0.25, -0.25, 0.4, -0.4, 0.6, -0.6, 2, -2]
HOSTILE: list[float | None] = [None, math.inf, -math.inf, math.nan]
#: Of both letter cases, and beyond ASCII: ids are told apart bytewise.
IDS = [letter.upper() if n % 2 else letter for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz")] + [
    "é",
    "Ω",
    "1",
    "_",
]

VALUES: dict[str, list[Any]] = {
    "arm": ["red", "red", "red", "red", "blue", "Red", None],
    "lamp": ["lfc", "lfc", "thar", "thar", "LFC", "é", None],
    "n_frames": [1, 5, 5, 9, None],
    "exposure_time": [27.0, 30.0, 30.0, 33.0, 33.1, 60.0, 0.0, None],
    "temperature": [-100.0, -100.0, -98.0, -97.9, 0.1, 0.3, None],
    "cooled": [True, True, False, None],
    "quality": ["GOOD", "GOOD", "GOOD", "GOOD", "UNKNOWN", "BAD"],
    "cal_version": ["001", "001", "002", "010"],
    "master_cal": [True, False],
    "cal_type": ["flat", "flat", "flat", "wls"],
}


def times_of(seed: int) -> list[float]:
    """The times at which all of a table happens: rows, frames, boundaries, windows."""
    return sorted(Random(seed).sample(GRID, 5))


def table(size: int, seed: int) -> list[Row]:
    """Rows at few times, so that many tie; a smaller table of a seed is the beginning of a larger one."""
    times, random = times_of(seed), Random(seed)
    ids = random.sample(IDS, len(IDS))
    return [_row(ids[number], times, random) for number in range(size)]


def _row(name: str, times: list[float], random: Random) -> Row:
    row = {column: random.choice(values) for column, values in VALUES.items()}
    exact = row["cal_type"] == "wls"  # others hang on it, so that its time is a frame's

    def time() -> float:
        return random.choice(times) + (0 if exact else random.choice(JITTER) / DAY_MS)

    def edge() -> float | None:
        return random.choice([None, random.choice(times), time()])

    spoilt = random.random() < 0.05
    start = random.choice([math.inf, -math.inf]) if spoilt else time()
    mid = random.choice([None, time(), time(), time(), time()])
    return {
        **row,
        "id": name,
        "filename": f"{name}.fits",
        "datetime_obs": iso(start),
        "origin": "LOCAL",
        "mjd_start": start,
        "mjd_mid": random.choice(HOSTILE) if spoilt else mid,
        "valid_from": edge(),
        "valid_to": edge(),
    }


def iso(mjd: float) -> str:
    """A time as text; of one that is none the first of the grid."""
    known = datetime(1858, 11, 17) + timedelta(days=mjd if math.isfinite(mjd) else GRID[0])
    return known.isoformat(timespec="milliseconds")


# -- frames ------------------------------------------------------------------------------------------------------------


def frame_of(seed: int, number: int) -> Row:
    """A frame at one of the table's times or midway, which now and then lacks a value, or is a calibration itself."""
    random = Random(f"{seed} frame {number}")

    def time() -> float:
        return fmean(random.choices(times_of(seed), k=random.choice([1, 2])))

    frame = {
        "arm": random.choice(["red", "red", "red", "blue", "green"]),
        "lamp": random.choice(["lfc", "thar", "LFC", "é"]),
        "n_frames": random.choice([1, 5, 5, 9]),
        "exposure_time": random.choice([30.0, 30.0, 33.0, 60.0, 0.0]),
        "temperature": random.choice([-100.0, -100.0, -98.0, 0.2]),
        "cooled": random.choice([True, True, False]),
        "mjd_start": time(),
        "mjd_mid": time(),
    }
    for column in ("arm", "lamp", "n_frames", "exposure_time", "temperature", "cooled"):
        if random.random() < 0.05:
            frame[column] = None
    if random.random() < 0.08:
        frame["arm"] = random.choice(["*", "%", "", "N/A"])
    if random.random() < 0.06:
        frame["mjd_mid"] = random.choice([None, math.nan])
    if random.random() < 0.15:
        name = random.choice(IDS)
        frame |= random.choice([{"id": name}, {"filename": f"{name}.fits"}])
    return frame


# -- rules -------------------------------------------------------------------------------------------------------------

MATCHED = ["arm", "arm", "lamp", "n_frames", "cooled"]
WANTED: dict[str, list[Any]] = {
    "lamp": ["lfc", ("lfc", "thar"), ("thar", "é"), ("lfc", "thar", "LFC")],
    "n_frames": [5, (5, 9), Range(low=5), Range(high=5), Range(1, 5), Range(5, 5)],
    "exposure_time": [30.0, Range(high=60.0), Range(low=30.0), Range(27.0, 33.0)],
    "cooled": [True, False],
    "master_cal": [True, False],
    "cal_version": [("001", "002"), "001"],
}
#: What may be required besides: that a value is missing.
NULLS: dict[str, list[Any]] = {"lamp": [None, ("lfc", None)], "n_frames": [(None, 5)]}
TOLERANCES: dict[str, list[Any]] = {
    "exposure_time": [3.0, 3.0, 0.0, Relative(0.1), Relative(0.5)],
    "temperature": [2.0, 2.0, 0.1, Relative(0.5), Relative(0.02)],
    "n_frames": [4, 4.0, Relative(0.8)],
}


def age(random: Random, times: list[float]) -> timedelta:
    """The distance of two of the times, or a little more."""
    one, other = random.choices(times, k=2)
    return timedelta(days=abs(one - other), milliseconds=random.choice([0, 0, 0, 1]))


def some(random: Random, values: dict[str, list[Any]], least: int = 1) -> dict[str, Any]:
    """Settings of one or two columns."""
    columns = random.sample(sorted(values), random.choice([least, 1, 1, 2]))
    return {column: random.choice(values[column]) for column in columns}


def names_of(random: Random) -> tuple[str, ...]:
    return tuple(dict.fromkeys(random.choices(MATCHED, k=random.choice([1, 1, 2]))))


def boundaries(random: Random, times: list[float]) -> tuple[float, ...]:
    """Boundaries at the times of rows and frames, and between them."""
    return tuple(sorted(random.sample(times + [time + 0.125 for time in times], random.choice([1, 1, 2, 3]))))


def steps(random: Random, times: list[float], directed: bool) -> tuple[Step, ...]:
    """One to three preferences, of which one may be for whatever there is."""

    def step() -> Step:
        return Step(
            require=some(random, WANTED, 0) if random.random() < 0.7 else {"lamp": random.choice(["lfc", "thar"])},
            within=some(random, TOLERANCES) if random.random() < 0.4 else None,
            max_age=age(random, times) if random.random() < 0.3 else None,
            direction=random.choice(DIRECTIONS) if directed and random.random() < 0.2 else None,
        )

    return tuple(step() for _ in range(random.choice([1, 2, 2, 3])))


DIRECTIONS = ("nearest", "before", "after")
SETTINGS: dict[str, Callable[[Random, list[float]], Any]] = {
    "match": lambda random, _: names_of(random),
    "given": lambda random, _: ("cooled",),
    "match_if_known": lambda random, _: names_of(random),
    "require": lambda random, _: some(random, random.choice([WANTED, WANTED, {**WANTED, **NULLS}])),
    "exclude": lambda random, _: some(random, WANTED),
    "within": lambda random, _: some(random, TOLERANCES),
    "never_across": boundaries,
    "max_age": age,
    "same": lambda random, _: tuple(random.sample(["lamp", "n_frames", "cooled"], random.choice([1, 1, 2]))),
    "validity": lambda random, _: ("valid_from", random.choice(["valid_to", "valid_to", None])),
    "match_anchor": lambda random, _: names_of(random),
}
#: Besides these, what is made of them: steps, settings for each arm, and a calibration that another hangs on.
NAMES = [*SETTINGS, "prefer", "by", "anchor"]


def rule_of(seed: int, names: set[str], direction: str, cal_type: str = "flat") -> Rule:
    """A rule with these settings, as far as they may stand together; one with fewer says the same of the others."""
    times = times_of(seed)

    def made(name: str) -> Any:
        random = Random(f"{seed} {cal_type} {name}")
        setting = SETTINGS[name](random, times)
        if "by" not in names or name == "given" or random.random() < 0.5:
            return setting
        if name == "within" and random.random() < 0.5:
            return {column: By("arm", {"red": one, "blue": 1.0}) for column, one in setting.items()}
        return By("arm", {"red": setting, "blue": SETTINGS[name](random, times)})

    random = Random(f"{seed} {cal_type}")
    left_out = {"same"} if "validity" in names and direction == "nearest" else {"validity"}
    if "anchor" not in names:
        left_out |= {"match_anchor"}
    settings = {name: made(name) for name in SETTINGS if name in names - left_out}
    settings |= {"time": random.choice(["mjd_start", "mjd_start", "mjd_mid"]), "direction": direction}
    if "prefer" in names:
        settings["prefer"] = steps(random, times, direction != "bracket" and "validity" not in settings)
    elif "by" in names and direction in ("before", "after") and "validity" not in settings:
        settings["direction"] = By("arm", {"red": direction, "blue": random.choice(DIRECTIONS)})
    if "anchor" in names:
        few = set(random.sample(["match", "require", "max_age", "never_across", "validity", "prefer", "same"], 2))
        settings["anchor"] = rule_of(seed, few, random.choice([*DIRECTIONS, "bracket"]), "wls")
    return without_contradictions(Rule(cal_type=cal_type, **settings))


def without_contradictions(rule: Rule) -> Rule:
    """The rule without what makes it one that no calibration can meet, or that compares a column twice."""
    if any({*one.match} & {name for step in tolerances_of(one) for name in step} for one in by_arm(rule)):
        rule = replace(rule, match=())
    for left_out in ("exclude", "require"):
        if not all(map(can_be_met, by_arm(rule))):
            rule = replace(rule, **{left_out: {}})
    return rule


def by_arm(rule: Rule) -> list[Rule]:
    """The rule for each arm."""
    asked = {"arm": "red"}, {"arm": "blue"}
    return [Rule(**{each.name: decided(getattr(rule, each.name), frame) for each in fields(rule)}) for frame in asked]


def tolerances_of(rule: Rule) -> list[dict[str, Any]]:
    """The rule's tolerances, and those of each step."""
    return [rule.within, *(step.within or {} for step in rule.prefer)]


def can_be_met(rule: Rule) -> bool:
    """Whether each step leaves values in every column."""
    return all(
        any(
            all(
                meets({column: value}, {column: what[column]})
                for what in (rule.require, step.require)
                if column in what
            )
            and not (value is not None and column in rule.exclude and is_of(value, rule.exclude[column]))
            for value in values
        )
        for step in rule.prefer or (Step({}),)
        for column, values in VALUES.items()
    )


class Case(NamedTuple):
    """A table, a rule, and frames that ask."""

    rows: list[Row]
    rule: Rule
    frames: list[Row]


#: Directions, each with settings that are always there.
SINGLE = ("nearest", "nearest prefer", "nearest validity", "nearest anchor", "before", "after")
BRACKET = ("bracket", "bracket prefer", "bracket same", "bracket same prefer", "bracket anchor")


def case_of(seed: int, size: int, kind: str, names: set[str], frames: int) -> Case:
    """A case in which the first frame comes twice."""
    direction, *more = kind.split()
    rule = rule_of(seed, names | {*more}, direction)
    asked = [frame_of(seed, number) for number in range(frames)]
    return Case(table(size, seed), rule, [*asked, asked[0]])


def cases(kinds: tuple[str, ...]) -> st.SearchStrategy[Case]:
    """Cases of rules of these kinds; a smaller one has fewer rows, settings and frames."""
    return st.builds(
        case_of,
        seed=st.integers(0, 2**32),
        size=st.one_of(st.integers(0, 10), st.integers(0, 30), st.integers(15, 30)),
        kind=st.sampled_from(kinds),
        names=st.sets(st.sampled_from(NAMES), max_size=4),
        frames=st.integers(1, 4),
    )


# -- the same rule, declared -------------------------------------------------------------------------------------------


def selector_of(rule: Rule) -> CalibrationSelector:
    """A selector that declares a rule, with the one that it hangs on in its plugin."""
    settings = {each.name: getattr(rule, each.name) for each in fields(rule)}
    changed = {name: _declared(value) for name, value in settings.items() if value != getattr(Rule(), name)}
    changed["cal_type"] = rule.cal_type
    if rule.anchor is None:
        return CalibrationSelector(**changed)
    selector = CalibrationSelector(**changed | {"anchor": rule.anchor.cal_type})
    InstrumentPlugin(Sample, [selector_of(rule.anchor), selector])
    return selector


def _declared(value: Any) -> Any:
    match value:
        case By():
            return koa_middleware.by(value.column, {key: _declared(each) for key, each in value.settings.items()})
        case Relative():
            return koa_middleware.relative(value.part)
        case Range(low, high):
            if low == -math.inf:
                return koa_middleware.at_most(high)
            return koa_middleware.at_least(low) if high == math.inf else koa_middleware.between(low, high)
        case Step():
            named = {each.name: _declared(getattr(value, each.name)) for each in fields(value)}
            require = named.pop("require")
            return koa_middleware.Step(require, **{name: each for name, each in named.items() if each is not None})
        case dict():
            return {column: _declared(each) for column, each in value.items()}
        case tuple():
            return tuple(map(_declared, value))
        case _:
            return value
