"""``koa-cal flag``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ..exceptions import KoaMiddlewareError
from .arguments import add_instrument, add_json
from .context import open_for
from .messages import say
from .output import counted, print_json, print_text

if TYPE_CHECKING:
    from ..reports.provenance.affected import Affected
    from ..store import CalibrationStore

ABOUT = "flag a calibration as good, bad or unknown, at the archive or for this cache alone"

EXAMPLES = """
# for everybody, with write access to the archive
koa-cal flag master-dark.001.fits bad --reason 'light leak'
# for this cache alone, and back
koa-cal flag master-dark.001.fits bad --here --reason 'light leak'
koa-cal flag master-dark.001.fits clear --here --reason 'it was the lamp'
"""

#: Masters, and files that could not be read, that are named; `koa-cal affected` names all.
_NAMED = 5


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="ID_OR_FILENAME")
    command.add_argument("quality", choices=("good", "bad", "unknown", "clear"), type=str.lower)
    command.add_argument(
        "--here", action="store_true", help="judge for this cache alone, over the archive's word, until it is cleared"
    )
    command.add_argument("--reason", required=True, help="why; koa-cal show prints it")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Set a record's quality, or judge it here."""
    quality = None if options.quality == "clear" else options.quality
    with open_for(options) as store:
        record = store.flag(options.name, quality, options.reason, here=options.here)
        judged = store.known_db.judged_here().get(record.id)
        affected = _affected(store, record) if options.quality == "bad" else None
        instrument = store.orm_class.instrument_name
    own = None if judged is None else judged.quality
    if options.json:
        made = {} if affected is None else {"masters": [each.to_dict() for each in affected.masters]}
        print_json({**record.to_dict(), "judged_here": own, **made})
    elif quality is None:
        print_text(f"{record.filename} is {record.quality}, as its row says: {options.reason}")
    elif options.here:
        print_text(f"{record.filename} is {own} here: {options.reason}")
    else:
        still = "" if own is None else f" (but {own} here, until koa-cal flag --here clears that)"
        print_text(f"{record.filename} is {record.quality}{still}: {options.reason}")
    if affected is not None:
        _say_affected(affected, instrument)
    return 0


def _affected(store: CalibrationStore[Any], record: Any) -> Affected | None:
    """Find what was made from a calibration; where that fails, it is said, and the flag stands."""
    try:
        return store.affected(record)
    except KoaMiddlewareError as error:
        say(f"what was made from {record.filename} is not known: {error}")
        return None


def _say_affected(affected: Affected, instrument: str) -> None:
    """Say what was made from a calibration that is bad, and how to find the rest."""
    name, masters = affected.calibration.filename, [each.calibration.filename for each in affected.masters]
    if masters:
        say(
            f"{counted(len(masters), 'master')} here {'was' if len(masters) == 1 else 'were'} made from it: "
            f"{', '.join(masters[:_NAMED])}{', ...' if len(masters) > _NAMED else ''}"
        )
    for note in affected.notes()[:_NAMED]:
        say(note)
    used = "it or them" if masters else "it"
    say(f"koa-cal affected -i {instrument} {name} --products DIR lists the products that used {used}")
