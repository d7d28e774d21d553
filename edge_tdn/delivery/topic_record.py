"""The record of the retained topics that a host has published, by broker: a file in the folder of its outbox.

The record outlives the daemon, so that the next start can remove from a broker what the configuration no longer has.
It names topics, never their content.
"""

import errno
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_tdn.delivery.outbox.folder import is_locked

RECORD = "retained.json"
MACHINE_ID = Path("/etc/machine-id")

TopicsByBroker = dict[str, set[str]]  # address of a broker -> topics


class _Content(BaseModel):
    model_config = ConfigDict(strict=True)

    config: str = ""  # the machine and the file of the configuration; empty: none
    brokers: dict[str, list[str]] = {}
    reported: list[str] = []  # earlier brokers that the log has named, once each
    crc: int = 0  # of the first two: a flipped bit must not remove the topic of another host

    @property
    def actual_crc(self) -> int:
        return zlib.crc32(self.model_dump_json(include={"config", "brokers"}).encode())


class TopicRecord:
    """The file of one host. A renamed host, recognised by its configuration file, takes over what it left before.

    Owned by the publisher's thread. OSError: the disk refuses.
    """

    def __init__(self, folder: Path, config: Path | None = None, state: Path | None = None) -> None:
        """`folder`: of the outbox. `config`: the file of the configuration. `state`: the parent of hosts' folders."""
        self._path, self._state = folder / RECORD, state
        self._config = _config_id(config) if config else ""
        self.reported: set[str] = set()  # addresses of earlier brokers that the log has named; read and written

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> TopicsByBroker:
        """Return the topics in the file, and those in the files of earlier names of this host."""
        if not self._path.parent.is_dir():  # a disk that is not mounted
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        topics: TopicsByBroker = {}
        for path in (self._path, *self._of_earlier_names()):
            content = _read(path)
            self.reported |= {*content.reported}
            for broker, names in content.brokers.items():
                topics.setdefault(broker, set()).update(names)
        return topics

    def write(self, topics: Mapping[str, set[str]]) -> None:
        """Replace the file as a whole, then delete those of earlier names."""
        brokers = {broker: sorted(names) for broker, names in sorted(topics.items()) if names}
        content = _Content(config=self._config, brokers=brokers, reported=sorted(self.reported & brokers.keys()))
        content.crc = content.actual_crc
        scratch = self._path.with_suffix(".tmp")
        with scratch.open("w", encoding="utf-8") as file:
            file.write(f"{content.model_dump_json(indent=1)}\n")
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._path)
        with suppress(OSError):  # then it is read, and deleted, once more
            for path in self._of_earlier_names():
                path.unlink()

    def _of_earlier_names(self) -> Iterator[Path]:
        """Yield the files that this configuration left in folders of other hosts. A running daemon's is not one."""
        if not self._state or not self._config:
            return
        for path in self._state.glob(f"*/{RECORD}"):
            with suppress(OSError):  # another user's
                known = not path.samefile(self._path) if self._path.exists() else True
                if known and _read(path).config == self._config and not is_locked(path.parent):
                    yield path


def _read(path: Path) -> _Content:
    """Return the content of a file; nothing if there is no such file, or if it is damaged."""
    with suppress(FileNotFoundError, ValidationError):
        content = _Content.model_validate_json(path.read_bytes())
        if content.crc == content.actual_crc:
            return content
    return _Content()


def _config_id(config: Path) -> str:
    """Return the machine and the path of a configuration file, which need not be UTF-8; empty without a machine id.

    Hosts in containers may have equal paths, and share the parent of their folders.
    """
    machine = _machine_id()
    return f"{machine}:{os.fsencode(config.resolve()).decode('utf-8', 'backslashreplace')}" if machine else ""


def _machine_id() -> str:
    """Return the id of this machine; empty in most containers."""
    try:
        return MACHINE_ID.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
