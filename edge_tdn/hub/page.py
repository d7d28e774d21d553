"""The page in the browser, as the daemon knows it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.hub.hub import Hub
from edge_tdn.shell import install_extra

LIBRARIES = ("starlette", "uvicorn")  # of the extra `web`


class Page(Protocol):
    """The page: a thread that listens on a port."""

    @property
    def fault(self) -> str:
        """Why it is not served; empty: it is."""

    @property
    def address(self) -> str:
        """Its URL, as a browser on this host or behind the proxy has it."""

    def link(self) -> str:
        """Return its URL with a new code for one login."""

    def start(self) -> None:
        """Start its thread."""

    def announce(self) -> None:
        """Log a link."""

    def renew(self) -> None:
        """Read the certificate again, after a reload. If it cannot be used, that is logged; the one before stays."""

    def stop(self) -> None:
        """Ask the thread to end."""

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long."""


OpenPage = Callable[[Config, Path, Hub], Page]  # the path: where relative paths start. ConfigError: it cannot be opened


def check_installed(config: Config) -> None:
    """Raise ConfigError unless the libraries of the page are installed. They are not imported."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"the page needs {' and '.join(missing)}: `{install_extra('web')}`; 0 disables it"
        raise ConfigError(config.fault(["web", "port"], config.web.port, reason))
