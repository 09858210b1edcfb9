"""Lock files: what was chosen for which frame, so that it is chosen again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ...disk.reading import user_path
from ...disk.targets import Kind, check_target, target_file
from ...display import html_table, in_brackets, render
from ...given import file_path_of, path_of, truth_of
from ...kept import kept_property
from .locked import ArchiveState, LockedCalibration, LockedFrame, frame_key
from .source import read_lock
from .text import FORMAT, as_text, said_of


@dataclass(frozen=True)
class LockFile:
    """What was chosen for which frame, and what it was chosen with.

    A frame is known by its file name, without a folder, and its values of the compared columns. Several of one name
    differ in what the caller gives for them.

    Attributes
    ----------
    instrument : str
    core, plugin : str
        Versions of this package and of the plugin.
    compared : tuple of str
        Columns of frames that the rules ask for.
    calibrations : tuple of LockedCalibration
        Each once, by type and file name.
    frames : tuple of LockedFrame
        By file name.
    archive : ArchiveState or None
        None where there was none.
    as_of : str or None
        The state that was asked, UTC; None: the present one.
    path : pathlib.Path or None
        Where it was read.
    left_out : mapping
        Where it was made: types that frames need and that were not asked for, with the columns that were not given.
    """

    instrument: str
    core: str
    plugin: str
    compared: tuple[str, ...]
    calibrations: tuple[LockedCalibration, ...]
    frames: tuple[LockedFrame, ...]
    archive: ArchiveState | None = None
    as_of: str | None = None
    path: Path | None = field(default=None, compare=False, repr=False)
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a lock file.

        Raises
        ------
        SourceFileError
            When it is missing, or no lock file.
        ConfigurationError
            When it is of another format.
        """
        source = user_path(path_of("lock", path))
        return cls(**read_lock(source), path=source)

    def write(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write it as TOML; the same choices give the same bytes.

        Parameters
        ----------
        path : path
        overwrite : bool
            Whether a lock file of that name, or an empty file, is replaced; anything else never is.

        Raises
        ------
        ConfigurationError
            When there is something of that name that is not to be replaced.
        CacheError
            When it cannot be written.
        """
        target = user_path(file_path_of("path", path))
        replaces = truth_of("overwrite", overwrite)
        check_target(target, _KIND, overwrite=replaces)
        with target_file(target, _KIND, overwrite=replaces) as sink:
            sink.write(self.to_text().encode())
        return target

    def to_text(self) -> str:
        """Give it as TOML."""
        return as_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON: what stands in the file."""
        return {
            "format": FORMAT,
            "instrument": self.instrument,
            "as_of": self.as_of,
            "compared": list(self.compared),
            "versions": {"core": self.core, "plugin": self.plugin},
            "archive": None if self.archive is None else self.archive._asdict(),
            "calibrations": [each._asdict() for each in self.calibrations],
            "frames": [
                {**each._asdict(), "values": dict(each.values), "choices": [said_of(one) for one in each.choices]}
                for each in self.frames
            ],
        }

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the lock" if self.path is None else str(self.path)

    @kept_property
    def by_filename(self) -> Mapping[str, LockedCalibration]:
        """The calibrations."""
        return {each.filename: each for each in self.calibrations}

    def frames_of(self, filename: str, values: Mapping[str, Any]) -> Sequence[LockedFrame]:
        """Give the frames of a file name, which compression does not change; or, without one, that of these values.

        A frame that is asked for without its name may have been locked with it: it is the only one of its values then.
        """
        found = self._frames.get(frame_key(filename, values), ())
        if found or filename:
            return found
        alike = self._by_values.get(frame_key("", values), ())
        return alike if len(alike) == 1 else ()

    @kept_property
    def _frames(self) -> Mapping[Any, Sequence[LockedFrame]]:
        found: dict[Any, list[LockedFrame]] = {}
        for each in self.frames:
            found.setdefault(frame_key(each.filename, each.values), []).append(each)
        return found

    @kept_property
    def _by_values(self) -> Mapping[Any, Sequence[LockedFrame]]:
        found: dict[Any, list[LockedFrame]] = {}
        for each in self.frames:
            found.setdefault(frame_key("", each.values), []).append(each)
        return found

    def __repr__(self) -> str:
        return in_brackets(self, self._title())

    def __str__(self) -> str:
        counts = Counter(each.cal_type for each in self.calibrations)
        rows = [(name, str(number), str(self._missing[name] or "")) for name, number in sorted(counts.items())]
        rows += [(name, "0", str(number)) for name, number in sorted(self._missing.items()) if name not in counts]
        return render(("type", "calibrations", "frames without"), rows, title=self._title())

    def _title(self) -> str:
        number = len(self.frames)
        said = f"{self.instrument}: {number} {'frame' if number == 1 else 'frames'}, koa-middleware {self.core}"
        said += f", plugin {self.plugin}" if self.plugin else ""
        if self.archive is not None:
            until = "" if self.archive.entry is None else f" up to entry {self.archive.entry} of {self.archive.at}"
            said += f", archive {self.archive.name}{until}"
        return f"{said}, as of {self.as_of}" if self.as_of else said

    @kept_property
    def _missing(self) -> Counter[str]:
        return Counter(one.cal_type for each in self.frames for one in each.choices if one.missing)

    def _repr_html_(self) -> str:
        """Give the calibrations as HTML, for notebooks."""
        rows = [(each.cal_type, each.filename, each.checksum) for each in self.calibrations]
        return html_table(("type", "calibration", "checksum"), rows, title=self._title())


_KIND = Kind("lock file", "koa-cal lock", read_lock)
