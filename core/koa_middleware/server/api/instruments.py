"""What a server has."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from pydantic import BaseModel

from ..served import Served

router = APIRouter(prefix="/api/v1", tags=["instruments"])


class Instrument(BaseModel):
    """An instrument that a server has.

    Attributes
    ----------
    name : str
    cal_types : list of str
        That the instrument has a rule for.
    is_writable : bool
        Whether calibrations can be published here.
    """

    name: str
    cal_types: list[str]
    is_writable: bool


class Instruments(BaseModel):
    """All instruments of a server."""

    instruments: list[Instrument]


@router.get("/", summary="The instruments of this server")
async def instruments(request: Request) -> Instruments:
    """List the instruments."""
    all_served: Mapping[str, Served] = request.app.state.served
    return Instruments(
        instruments=[
            Instrument(name=name, cal_types=sorted(each.plugin.selectors), is_writable=each.is_writable)
            for name, each in sorted(all_served.items())
        ]
    )
