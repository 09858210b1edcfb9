from __future__ import annotations

from koa_middleware import CalibrationStore
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from tests.conftest import DemoCalibration, record


def test_a_record_from_the_database_can_be_changed_in_a_session_of_ones_own(
    store: CalibrationStore[DemoCalibration],
) -> None:
    store.local_db.add([record("a.fits", cooled=True), record("b.fits")])
    found = store.query(filename="a.fits")[0]
    assert inspect(found).detached
    assert inspect(found).identity == (found.id,)
    assert not inspect(found).modified
    assert found.cooled is True
    with store.local_db.session_manager() as session:
        session.add(found)
        found.lamp = "lfc"
        assert session.get(DemoCalibration, found.id) is found
    assert store.query(filename="a.fits")[0].lamp == "lfc"
    with Session(store.local_db.engine) as session:
        session.delete(session.merge(found))
        session.commit()
    assert [each.filename for each in store.query()] == ["b.fits"]
