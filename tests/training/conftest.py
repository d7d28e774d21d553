"""Fixtures of all tests of the trainer."""

import pytest


@pytest.fixture(autouse=True)
def same_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the priority of the process that runs the tests: it cannot be raised again."""
    monkeypatch.setattr("edge_tdn_training.commands.finetune.lower_priority", lambda: True)
