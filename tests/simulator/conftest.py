"""Time limits of the capture, through which simulated cameras are watched."""

import pytest

from tests.support.patient_limits import set_patient_limits


@pytest.fixture(autouse=True)
def _patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cameras take their time: no connection fails because the host is busy."""
    set_patient_limits(monkeypatch)
