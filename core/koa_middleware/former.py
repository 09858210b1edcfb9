"""Names of the older ``koa_middleware`` that still work, each with a `DeprecationWarning`."""

from __future__ import annotations

from collections.abc import Mapping

from .exceptions import ConfigurationError, warn

#: Public names, and what they are called now.
NAMES = {"CalibrationORM": "ORMCalibration"}

#: Variables that mean the same as a present one.
_RENAMED = {"KOA_REMOTE_CALIBRATION_URL": "KOA_REMOTE_DATABASE_URL"}

#: Variables that mean nothing any more, and what to do in their place.
_UNUSED = {
    "KOA_CALIBRATIONS_URL": "Set KOA_REMOTE_DATABASE_URL to the archive's server, or its database.",
    "KOA_LOCAL_DATABASE_TABLE_NAME": "The table is called after the instrument.",
    "KOA_CALIBRATION_ORIGIN": "Give origin to register_calibration, or --origin.",
}


def tell(old: str, new: str) -> None:
    """Warn that a name has another one now."""
    warn(f"{old} is called {new} now.", DeprecationWarning)


def one_of(old: str, former: str | None, new: str, present: str | None) -> str | None:
    """Give the value of an argument that is given under its present name or its former one.

    Raises
    ------
    ConfigurationError
        When both are given, and differ.
    """
    if former is None:
        return present
    tell(old, new)
    if present not in (None, former):
        raise ConfigurationError(f"{old} and {new} differ.", f"Give {new} alone.", setting=new, variable=None)
    return former


def renamed_variables(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Give an environment in which variables of the older package stand under their present names; warns of them."""
    for name, advice in _UNUSED.items():
        if variables.get(name):
            warn(f"{name} is of an older koa_middleware and is not used. {advice}", DeprecationWarning)
    found = {_RENAMED[name]: name for name in _RENAMED if variables.get(name)}
    if not found:
        return variables
    for new, old in found.items():
        tell(old, new)
    return {new: variables[old] for new, old in found.items()} | dict(variables)
