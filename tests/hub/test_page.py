"""What the page needs is looked for before anything is opened."""

import importlib.util

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.hub.page import check_installed

CONFIG = Config.model_validate({"web": {"port": 8765}, "camera": [{"name": "door", "source": "demo:"}]})


def test_missing_libraries_are_named_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    with pytest.raises(ConfigError, match=r"web\.port = 8765: the page needs uvicorn: `.*\[web\].*`; 0 disables it"):
        check_installed(CONFIG)


def test_with_its_libraries_it_is_ready() -> None:
    check_installed(CONFIG)
