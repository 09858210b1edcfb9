"""``koa-cal demo``: the main job on a small made night."""

from __future__ import annotations

import shlex
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from ..exceptions import ConfigurationError
from ..plugins import Demo, InstrumentPlugin, available_instruments, get_plugin
from ..store import CalibrationStore
from .choosing import choose, frame_values, print_choices
from .context import choose_instrument
from .output import print_table, print_text, print_wrapped, terminal_width


def demo(options: Namespace) -> int:
    """Make a night, register its calibrations, and answer for its frames."""
    name = options.instrument or next(iter(available_instruments()), None)
    plugin = get_plugin(name) if name else choose_instrument(None)
    make = plugin.demo
    if make is None:
        raise ConfigurationError(
            f"The plugin of {plugin.name} brings no demo.", "Choose another one by -i.", setting="instrument"
        )
    if options.dir:
        folder = Path(options.dir).expanduser().absolute()
        _run(plugin, make, folder, options.remote)
        cache = shlex.quote(str(folder / ("observer" if options.remote else "cache")))
        print_text(f"next: export KOA_CALIBRATION_CACHE={cache}; {_this_command()} list -i {plugin.name}")
        return 0
    with tempfile.TemporaryDirectory() as made:
        _run(plugin, make, Path(made), options.remote)
    print_text("The files are gone again; what follows leaves them for you to look at.")
    print_text(f"next: {_this_command()} demo -i {plugin.name}{' --remote' if options.remote else ''} --dir night")
    return 0


def _this_command() -> str:
    """The command as it was started, which may not be on the user's PATH."""
    if Path(sys.argv[0]).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {__package__}"
    return shlex.quote(sys.argv[0])


def _run(plugin: InstrumentPlugin, make: Demo, folder: Path, remote: bool) -> None:
    night = folder / "night"
    try:
        night.mkdir(parents=True, exist_ok=True)
        calibrations, frames = make(night)
    except OSError as error:
        raise ConfigurationError(
            f"The night cannot be written into {night}: {error.strerror}.",
            "Name another folder by --dir.",
            setting="--dir",
            variable=None,
        ) from error
    if remote:
        from .remote_demo import round_trip

        round_trip(plugin, calibrations, frames, folder)
        return
    with CalibrationStore(plugin.ORM, folder / "cache", offline=True) as store:
        records = [store.register_calibration(path).calibration for path in calibrations]
        print_table(
            ("type", "calibration", "observed (UTC)", "quality"),
            [(r.cal_type, r.filename, r.datetime_obs, r.quality) for r in records],
            title=f"{len(records)} calibrations of a made {plugin.name} night are registered in {store.cache_dir}",
        )
        for frame in frames:
            print_text("")
            values = frame_values(store, str(frame), [])
            found = choose(store, values, None, download=True)
            print_choices(str(frame), found)
            answered = [cal_type for cal_type, answer in found.items() if "error" not in answer]
            for cal_type in answered[:1]:
                print_text("")
                print_wrapped(store.explain(values, cal_type, nearest=8).to_text(terminal_width()))
    print_text("")
