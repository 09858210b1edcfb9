"""``koa-cal demo``: the main job on a small simulated night."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import ConfigurationError
from .arguments import add_instrument
from .best import choose, print_choices
from .context import choose_instrument, frame_values
from .output import counted, print_exactly, print_table, print_text, print_wrapped, terminal_width

if TYPE_CHECKING:
    from ..plugins import Demo, InstrumentPlugin

ABOUT = "register a small simulated night and choose its calibrations, offline"

EXAMPLES = """
# the main job on a made night of FITS files, offline
koa-cal demo
# another instrument's, in a folder that stays
koa-cal demo -i NAME --dir night
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "--remote",
        action="store_true",
        help="show the round trip of an archive: Keck publishes to a PostgreSQL server, an observer syncs",
    )
    command.add_argument("--dir", metavar="DIR", help="keep the night and its cache in this folder")
    add_instrument(command)


def run(options: Namespace) -> int:
    """Make a night, register its calibrations, and choose for its frames."""
    import shlex
    import tempfile

    from ..plugins import available_instruments

    plugin = choose_instrument(options.instrument or next(iter(available_instruments()), None))
    make = plugin.demo
    if make is None:
        raise ConfigurationError(
            f"The plugin of {plugin.name} has no demo.", "Choose another instrument with -i.", setting="instrument"
        )
    if options.dir:
        folder = Path(options.dir).expanduser().absolute()
        _show(plugin, make, folder, options.remote)
        cache = shlex.quote(str(folder / ("observer" if options.remote else "cache")))
        print_exactly(f"next: export KOA_CALIBRATION_CACHE={cache}; {_this_command()} list -i {plugin.name}")
        return 0
    with tempfile.TemporaryDirectory() as made:
        _show(plugin, make, Path(made), options.remote)
    print_text("The demo has deleted its files; the next command keeps them for you to look at.")
    print_exactly(f"next: {_this_command()} demo -i {plugin.name}{' --remote' if options.remote else ''} --dir night")
    return 0


def _this_command() -> str:
    """The command as it was started, which may not be on the user's PATH."""
    import shlex

    if Path(sys.argv[0]).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {__package__}"
    return shlex.quote(sys.argv[0])


def _show(plugin: InstrumentPlugin, make: Demo, folder: Path, remote: bool) -> None:
    night = folder / "night"
    try:
        night.mkdir(parents=True, exist_ok=True)
        calibrations, frames = make(night)
    except OSError as error:
        raise ConfigurationError(
            f"The demo cannot write its night to {night}: {error.strerror}.",
            "Name another folder with --dir.",
            setting="--dir",
            variable=None,
        ) from error
    if remote:
        from .remote_demo import round_trip

        round_trip(plugin, calibrations, frames, folder)
    else:
        _register_and_choose(plugin, calibrations, frames, folder / "cache")
    print_text("")


def _register_and_choose(
    plugin: InstrumentPlugin, calibrations: list[Path], frames: list[Path], cache_dir: Path
) -> None:
    from ..store import CalibrationStore

    with CalibrationStore(plugin.ORM, cache_dir, offline=True) as store:
        records = [store.register_calibration(path).calibration for path in calibrations]
        number = counted(len(records), "calibration")
        print_table(
            ("type", "calibration", "observed (UTC)", "quality"),
            [(r.cal_type, r.filename, r.datetime_obs, r.quality) for r in records],
            title=f"{number} of a simulated {plugin.name} night registered in {store.cache_dir}",
        )
        for frame in frames:
            print_text("")
            values = frame_values(store, str(frame), [])
            choices = choose(store, values, None, download=True)
            print_choices(str(frame), choices)
            answered = [cal_type for cal_type in choices.found if cal_type not in choices.errors]
            for cal_type in answered[:1]:
                print_text("")
                print_wrapped(store.explain(values, cal_type, nearest=8).to_text(terminal_width()))
