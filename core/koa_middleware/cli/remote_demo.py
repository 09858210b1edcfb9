"""``koa-cal demo --remote``: Keck publishes, an observer syncs, selects and sees a flag."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from ..exceptions import ConfigurationError
from ..plugins import InstrumentPlugin
from ..remote.servers import require_remote, without_password
from ..store import CalibrationStore
from ..testing.postgres import PostgresServer
from .best import choose, print_choices
from .context import frame_values
from .output import counted, print_text


def round_trip(plugin: InstrumentPlugin, calibrations: list[Path], frames: list[Path], folder: Path) -> None:
    """Play Keck and an observer on a PostgreSQL server that lives as long as this call."""
    served = folder / "archive"
    if served.exists():
        raise ConfigurationError(
            f"{served} holds the archive of an earlier demo, whose server is gone.",
            "Name another folder with --dir.",
            setting="--dir",
            variable=None,
        )
    served.mkdir()
    with PostgresServer() as server:

        def store_of(name: str) -> CalibrationStore[Any]:
            return CalibrationStore(
                plugin.ORM,
                folder / name,
                remote_database_url=server.url,
                calibration_url=served.as_uri(),
                offline=False,
            )

        with store_of("keck") as keck, store_of("observer") as observer:
            with closing(require_remote(keck.settings, plugin.ORM)) as remote:
                remote.set_up("koa_reader", "koa_publisher")
            print_text(f"Keck sets up {plugin.ORM.table().name} on a PostgreSQL server, {without_password(server.url)}")
            for path in calibrations:
                keck.register_calibration(path)
            sent = keck.publish(upload_to=served)
            print_text(f"Keck publishes {counted(sent.published, 'record')} and copies the files to {served}")
            _sync("An observer", observer)
            values = frame_values(observer, str(frames[0]), [])
            choices = choose(observer, values, None, download=True)
            print_choices(str(frames[0]), choices)
            cal_type, answer = next((name, answer) for name, answer in choices.found.items() if "id" in answer)
            keck.flag(answer["id"], "BAD", "a light leak, found in the morning")
            print_text("")
            print_text(f"Keck flags {answer['filename']} as BAD: a light leak, found in the morning")
            _sync("The observer", observer)
            print_choices(str(frames[0]), choose(observer, values, [cal_type], download=True))


def _sync(who: str, store: CalibrationStore[Any]) -> None:
    came = store.sync_from_remote()
    print_text(f"{who} syncs: {came.added} added, {came.changed} changed, {came.withdrawn} withdrawn")
