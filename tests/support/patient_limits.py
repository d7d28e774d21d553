"""Time limits of the capture's libraries that no busy host exceeds."""

import pytest

LIMIT_S = 60.0  # longer than running_source.PROMPT_S: a stop that waited for a library would be noticed


def set_patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cameras take their time to answer: a request that shows why they do not play, and OpenCV."""
    monkeypatch.setattr("edge_tdn.capture.diagnosis.TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr("edge_tdn.capture.cv_capture.TIMEOUT_MS", int(LIMIT_S * 1000))
