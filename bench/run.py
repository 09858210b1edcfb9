"""Run all benchmarks and print their ratios: ``nox -s bench``, ``nox -s bench -- --quick``.

A benchmark is a module ``bench_<name>.py`` beside this one with a function ``rows(quick: bool) -> Iterable[Row]``
(see `measuring.Row`). Each figure stands beside a plain reference that was measured in the same run, in turns with it:
only such ratios can be compared between machines.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import os
import sys
import sysconfig
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from measuring import Row

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Exit code 0: everything ran and is within its limit; with ``--quick``: everything ran."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description="Print how long things take, as ratios to plain references.")
    parser.add_argument("--quick", action="store_true", help="only see that all run; the figures mean nothing")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")

    _as_users_have_it()
    rows: list[Row] = []
    failed = []
    for name in arguments.names or names:
        start = time.monotonic()
        try:
            for each in importlib.import_module(f"bench_{name}").rows(arguments.quick):
                rows.append(each)
        except Exception:  # noqa: BLE001 - a broken one does not lose the figures of the others
            traceback.print_exc()
            failed.append(name)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    _print(rows)
    over = [each.what for each in rows if _over(each)]
    if failed:
        print(f"Not measured, for an error: {', '.join(failed)}.")
    if over and not arguments.quick:
        print(f"Over the limit: {', '.join(over)}.")
    return 1 if failed or (over and not arguments.quick) else 0


def _as_users_have_it() -> None:
    """Compile all byte code, and take out of the environment what would change the figures."""
    for variable in [name for name in os.environ if name.startswith("KOA_")]:
        del os.environ[variable]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for folder in (Path(sysconfig.get_path("purelib")), HERE.parent / "core", *HERE.parent.glob("plugins/*/src")):
        compileall.compile_dir(folder, quiet=2, workers=0)


def _over(row: Row) -> bool:
    return row.limit is not None and row.ratio > row.limit


def _print(rows: list[Row]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("beside")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("limit", justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:.2f}" + (" over" if _over(row) else "")
        table.add_row(
            row.what, _time(row.measured_s), row.reference, _time(row.reference_s), f"{row.ratio:.2f}", limit, row.note
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


if __name__ == "__main__":
    sys.exit(main())
