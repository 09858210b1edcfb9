"""Instrument plugins: what one is, and the registry that finds the installed ones.

An instrument's package has an entry point in the group ``koa_middleware`` whose name is the instrument's. Only the
plugin that is asked for is imported, and it is checked wholly before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pluggy

from . import hookspecs
from .choosing.criteria import faults
from .choosing.selector import CalibrationSelector, anchors_of, settings_of
from .display import html_table
from .exceptions import InvalidPluginError, KoaMiddlewareError, UnknownInstrumentError, described, did_you_mean
from .instrument.orm import ORMCalibration
from .instrument.product_cards import ProductCards, faults_of_cards, faults_of_inputs, settled_cards

#: Writes a small night into a folder; gives the paths of its calibrations and of its frames.
Demo = Callable[[Path], tuple[list[Path], list[Path]]]

_NEEDS = 'Write {"flat": ("bias", "dark"), None: ("bias", "dark", "flat")}.'


class InstrumentPlugin:
    """One instrument: its table and its rules.

    Parameters
    ----------
    ORM : type
        A subclass of `ORMCalibration`.
    selectors : iterable of CalibrationSelector
        One for each type that a frame may need, in the order in which a reduction needs them.
    demo : callable, optional
        ``demo(folder) -> (calibration paths, frame paths)`` writes a small night for ``koa-cal demo``.
    needs : mapping, optional
        The types that a frame asks for, by its own `cal_type`: ``{"flat": ("bias", "dark")}``; None as the key: a
        frame that is no calibration. Others ask for all that have a selector.
    product_cards : mapping, optional
        By cal type, the cards by which the pipeline itself says what a product was made with:
        ``{"bias": {"file": "BIASFILE", "delta_days": "AGEBIAS"}}``. What they tell is one of ``file``, ``id``,
        ``checksum``, ``version``, ``quality`` and ``delta_days``; the calibrations of a pair have two keywords, in the
        order of their times. They are written with the provenance of a product, and read to find what used a
        calibration.
    inputs : iterable of str, optional
        The keywords in a master's headers that name the files it was made from: ``("INPBIAS", "INPDARK")``.

    Attributes
    ----------
    name : str
    selectors : mapping
        By cal type.
    product_cards : mapping
        By cal type and what is told, a tuple of keywords.
    inputs : tuple of str
    database_filename : str
        Default name of the local database.

    Raises
    ------
    InvalidPluginError
        When class and selectors don't fit together.
    """

    def __init__(
        self,
        ORM: type[ORMCalibration],  # noqa: N803 - the contract's name
        selectors: Iterable[CalibrationSelector] = (),
        demo: Demo | None = None,
        needs: Mapping[str | None, Iterable[str]] | None = None,
        product_cards: Mapping[str, Mapping[str, str | tuple[str, str]]] | None = None,
        inputs: Iterable[str] = (),
    ) -> None:
        if not (isinstance(ORM, type) and issubclass(ORM, ORMCalibration) and ORM is not ORMCalibration):
            raise _invalid(
                "", "", f"its ORM is {ORM!r}, not a subclass of ORMCalibration", "Give the instrument's class."
            )
        if demo is not None and not callable(demo):
            raise _invalid(
                ORM.instrument_name, "", f"its demo is {demo!r}, not a function", "Give one, or leave it out."
            )
        self.name = ORM.instrument_name
        self.ORM = ORM
        self.demo = demo
        self.database_filename = f"{self.name}_calibrations.db"
        by_type: dict[str, CalibrationSelector] = {}
        for selector in self._listed(selectors):
            cal_type = self._check(selector)
            if cal_type in by_type:
                raise _invalid(self.name, "", f"it has two selectors for {cal_type}", "Leave one of them out.")
            by_type[cal_type] = selector
        self.selectors: Mapping[str, CalibrationSelector] = MappingProxyType(by_type)
        for selector in by_type.values():
            self._check_anchors(selector)
        self.needs = self._checked_needs(needs)
        self.product_cards = self._checked_cards({} if product_cards is None else product_cards)
        self.inputs = self._checked_inputs(inputs)
        ORM.selectors, ORM.needs = self.selectors, self.needs
        ORM.product_cards, ORM.inputs = self.product_cards, self.inputs

    def _listed(self, selectors: Any) -> list[Any]:
        try:
            return list(selectors)
        except TypeError:
            hint = "Give a list of selectors."
            raise _invalid(self.name, "", f"its selectors are {selectors!r}, not a list of them", hint) from None

    def _check(self, selector: Any) -> str:
        """Check one selector; give its type."""
        if not isinstance(selector, CalibrationSelector):
            said = f"its selector {selector!r} is not an instance of CalibrationSelector"
            raise _invalid(self.name, "", said, "Give instances, such as DarkSelector().")
        name = f"its selector {type(selector).__name__}"
        for fault in faults(settings_of(selector), self.ORM):
            raise _invalid(self.name, "", f"{name} {fault.said}", fault.hint)
        cal_type = selector.cal_type.strip().lower()
        if not cal_type:
            raise _invalid(self.name, "", f"{name} has no cal_type", "Set it to the type that it chooses.")
        if self.ORM.cal_types and cal_type not in self.ORM.cal_types:
            said = f"{name} is for {cal_type}, which is not in {self.ORM.__name__}.cal_types"
            raise _invalid(self.name, "", said, f"Its types are {', '.join(self.ORM.cal_types)}.")
        return cal_type

    def _check_anchors(self, selector: CalibrationSelector) -> None:
        """Check that what a selector hangs on has a selector, and does not hang on it in turn."""
        cal_type = selector.cal_type.strip().lower()
        chain, pending = {cal_type}, anchors_of(selector)
        while pending:
            name = pending.pop()
            if name not in self.selectors:
                said = f"its selector {type(selector).__name__} has the anchor {name}, of which it has no selector"
                known = ", ".join(self.selectors)
                raise _invalid(self.name, "", said, f"{did_you_mean(name, self.selectors)}It has those of {known}.")
            if name in chain:
                said = f"its selectors of {' and '.join(sorted(chain))} hang on each other"
                raise _invalid(self.name, "", said, "Measure one of them from the frame itself.")
            chain.add(name)
            pending += anchors_of(self.selectors[name])

    def _checked_needs(self, needs: Any) -> Mapping[str | None, tuple[str, ...]]:
        if needs is None:
            return MappingProxyType({})
        if not isinstance(needs, Mapping):
            raise _invalid(self.name, "", f"its needs are {needs!r}, not a mapping", _NEEDS)
        checked: dict[str | None, tuple[str, ...]] = {}
        for cal_type, names in needs.items():
            if isinstance(names, str) or not isinstance(names, Iterable):
                raise _invalid(self.name, "", f"its needs of {cal_type} are {names!r}", _NEEDS)
            if cal_type is not None and self.ORM.cal_types and cal_type not in self.ORM.cal_types:
                known = ", ".join(self.ORM.cal_types)
                hint = f"{did_you_mean(str(cal_type), self.ORM.cal_types)}Its types are {known}."
                raise _invalid(self.name, "", f"it has needs of {cal_type!r}, which is not among its types", hint)
            checked[cal_type] = tuple(names)
            for name in checked[cal_type]:
                if name not in self.selectors:
                    said = f"its needs of {cal_type} name {name!r}, of which it has no selector"
                    hint = f"{did_you_mean(str(name), self.selectors)}It has those of {', '.join(self.selectors)}."
                    raise _invalid(self.name, "", said, hint)
        return MappingProxyType(checked)

    def _checked_cards(self, given: Any) -> ProductCards:
        cal_types = dict.fromkeys((*self.ORM.cal_types, *self.selectors)) if self.ORM.cal_types else {}
        for said, hint in faults_of_cards(given, cal_types):
            raise _invalid(self.name, "", said, hint)
        return settled_cards(given)

    def _checked_inputs(self, given: Any) -> tuple[str, ...]:
        try:
            keywords = given if isinstance(given, str) else tuple(given)
        except TypeError:
            keywords = given
        for said, hint in faults_of_inputs(keywords):
            raise _invalid(self.name, "", said, hint)
        return tuple(keywords)

    def __repr__(self) -> str:
        return f"InstrumentPlugin({self.name!r}, cal types: {', '.join(self.selectors)})"

    def _repr_html_(self) -> str:
        from .choosing.words import in_words

        rows = [(cal_type, " ".join(in_words(each, self.ORM))) for cal_type, each in self.selectors.items()]
        return html_table(("type", "rule"), rows, title=self.name)


class Installed(NamedTuple):
    """An installed plugin, not yet imported.

    Attributes
    ----------
    instrument, distribution, version : str
    """

    instrument: str
    distribution: str
    version: str


class PluginRegistry:
    """The plugins that are installed in this environment."""

    def __init__(self) -> None:
        self._entry_points = sorted(entry_points(group=hookspecs.GROUP), key=lambda entry: entry.name)
        self._loaded: dict[str, InstrumentPlugin] = {}

    def installed(self) -> list[Installed]:
        """List the plugins by instrument, importing none."""
        return [_describe(entry) for entry in self._entry_points]

    def names(self) -> list[str]:
        """List the instruments' names, sorted, importing no plugin."""
        return sorted({entry.name for entry in self._entry_points})

    def get(self, name: str) -> InstrumentPlugin:
        """Give the plugin of an instrument, whose name may be in any letter case; imports that plugin only.

        Raises
        ------
        UnknownInstrumentError
            When none of that name is installed, or what is given is no name.
        InvalidPluginError
            When it cannot be used; names its distribution and version.
        """
        given, name = name, name.strip().lower() if isinstance(name, str) else ""
        if name not in self._loaded:
            found = [entry for entry in self._entry_points if entry.name.lower() == name]
            if not found:
                raise self._unknown(given)
            if len(found) > 1:
                owners = " and ".join(_package(entry) for entry in found)
                raise _invalid(name, owners, "several packages provide this instrument")
            self._loaded[name] = loaded(found[0])
        return self._loaded[name]

    def _unknown(self, given: object) -> UnknownInstrumentError:
        names, name = self.names(), str(given).strip().lower()
        others = f", only for {', '.join(names)}" if names else ""
        return UnknownInstrumentError(
            f"No plugin is installed for the instrument {_shown(given)}{others}.",
            f"Run pip install 'koa-middleware[{name}]'."
            if name in _extras()
            else f"{did_you_mean(name, names)}Install the instrument's package.",
            instrument=name,
            available=tuple(names),
        )


def loaded(entry: EntryPoint) -> InstrumentPlugin:
    """Import the module of an entry point, and give the plugin that its hook gives.

    Raises
    ------
    InvalidPluginError
        When there is none; names its distribution and version.
    """
    package = _package(entry)
    manager = pluggy.PluginManager(hookspecs.GROUP)  # of its own, as another thread may load another plugin
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(entry.load(), entry.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit()
        raise _failed(entry, f"importing {entry.value}", error) from error
    try:
        manager.check_pending()
        hook = manager.hook.koa_register_instrument
        has_hook, plugins = bool(hook.get_hookimpls()), hook()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failed(entry, "its hook", error) from error
    if not has_hook:
        raise _invalid(entry.name, package, f"{entry.value} has no hook koa_register_instrument")
    if not plugins:
        raise _invalid(entry.name, package, "its hook returned nothing")
    plugin = plugins[0]
    if not isinstance(plugin, InstrumentPlugin):
        returned = plugin.__name__ if isinstance(plugin, type) else f"a {type(plugin).__name__}"
        raise _invalid(entry.name, package, f"its hook returned {returned}, not an InstrumentPlugin")
    if plugin.name != entry.name:
        raise _invalid(
            entry.name, package, f"its entry point is named {entry.name}, but its instrument is {plugin.name}"
        )
    return plugin


@lru_cache(maxsize=1)
def _registry() -> PluginRegistry:
    return PluginRegistry()


def get_plugin(name: str) -> InstrumentPlugin:
    """Give the installed plugin of an instrument, and import no other.

    Parameters
    ----------
    name : str
        In any letter case.

    Raises
    ------
    UnknownInstrumentError
        When none of that name is installed, or what is given is no name.
    InvalidPluginError
        When it cannot be used; names its distribution and version.
    """
    return _registry().get(name)


def available_instruments() -> list[str]:
    """List the names of the installed instruments, sorted, importing no plugin."""
    return _registry().names()


def installed_plugins() -> list[Installed]:
    """List the installed plugins with their packages, importing none."""
    return _registry().installed()


def _extras() -> frozenset[str]:
    try:
        return frozenset(metadata("koa-middleware").get_all("Provides-Extra") or ())
    except PackageNotFoundError:
        return frozenset()


def _describe(entry: EntryPoint) -> Installed:
    dist = entry.dist
    return Installed(entry.name, dist.name if dist else "unknown package", dist.version if dist else "")


def _package(entry: EntryPoint) -> str:
    described = _describe(entry)
    return f"{described.distribution}=={described.version}"


def _failed(entry: EntryPoint, what: str, error: BaseException) -> InvalidPluginError:
    """Give the error for a plugin that raised one while it was loaded; the hint of one of ours stays."""
    hint = error.hint if isinstance(error, KoaMiddlewareError) else ""
    return _invalid(entry.name, _package(entry), f"{what} failed with {described(error)}", hint)


def _shown(given: object) -> str:
    """Give what stands in the place of a name; of a URL, in which a password may stand, only that it is one."""
    return "that a URL names" if "://" in str(given) else repr(given)


def _invalid(instrument: str, package: str, fault: str, hint: str = "") -> InvalidPluginError:
    name = " ".join(filter(None, ["The plugin", instrument, package and f"of {package}"]))
    return InvalidPluginError(
        f"{name} cannot be used: {fault}.",
        hint or "Fix, update or uninstall that package.",
        instrument=instrument,
        distribution=package,
    )
