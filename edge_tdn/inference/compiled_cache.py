"""Compiled graphs on disk, so that a daemon is back in a second. Never trusted: hashed, keyed, and self-tested after.

OpenVINO's own cache serves a damaged graph without an error (3 of 40 flipped bits), so this is ours. An entry is

    <folder>/<key>.compiled    SHA-256 of all that follows, the key (32 bytes each), what the device exported

Its key is the SHA-256 of everything that a compiled graph depends on: another model, device, option or version finds no
entry. Entries are written whole or not at all, and read only where nobody else may write. What is longest unused goes
when all of them exceed `LARGEST`.
"""

import hashlib
import json
import logging
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

LARGEST = 1 << 30  # bytes of all entries together: ten networks of 100 MB
SUFFIX, PART = ".compiled", ".compiling"  # an entry, and one that is being written
HASH_BYTES = 32

Bytes = bytes | memoryview


def cache_folder(setting: str, base: Path) -> Path | None:
    """Where [runtime] cache says: "auto" systemd's or the user's cache, "off" nowhere, or a folder."""
    if setting == "off":
        return None
    try:
        if setting != "auto":
            return base / Path(setting).expanduser()
        if given := os.environ.get("CACHE_DIRECTORY"):  # systemd's; several are separated by colons
            return Path(given.split(":")[0])
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-tdn"
    except RuntimeError as error:
        log.warning("no compiled-model cache: %s", error)
        return None


class CompiledCache:
    """One runtime's view of the folder. What it compiles is kept only when the self-test has passed: see `keep`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: list[Path] = []  # entries that were served
        self._compiled: list[tuple[Path, bytes, Callable[[], Bytes]]] = []
        self._usable = self._is_ours()

    def read(self, key: bytes) -> memoryview | None:
        """What was exported under this key; None: nothing is there, or nothing that can be trusted."""
        path = self._path(key)
        if not self._usable or not os.path.lexists(path):
            return None
        try:
            content = memoryview(_read_own(path))
            if content[HASH_BYTES : 2 * HASH_BYTES] != key or _digest(content[HASH_BYTES:]) != content[:HASH_BYTES]:
                raise OSError("damaged")
            with suppress(OSError):  # read-only: then it only seems older than it is
                os.utime(path)
        except OSError as error:
            self.refuse(key, error.strerror or str(error))
            return None
        self.found.append(path)
        return content[2 * HASH_BYTES :]

    def refuse(self, key: bytes, reason: str) -> None:
        """Removes an entry that is of no use."""
        log.warning("compiled-model cache: %s: %s; compiling anew", self._path(key), reason)
        with suppress(OSError):
            self._path(key).unlink()

    def forget(self) -> None:
        """Removes the entries that were served: their graphs did not pass the self-test."""
        self._compiled.clear()
        while self.found:
            with suppress(OSError):
                self.found.pop().unlink()

    def offer(self, key: bytes, export: Callable[[], Bytes]) -> None:
        """A graph that has just been compiled, and how to get its bytes."""
        if self._usable:
            self._compiled.append((self._path(key), key, export))

    def keep(self) -> None:
        """Writes what was offered. A full or read-only disk costs a line in the log, nothing else."""
        try:
            for path, key, export in self._compiled:
                _write_whole(path, key, export())
            if self._compiled:
                self._trim()
        except (OSError, RuntimeError, MemoryError) as error:  # the last two from what exports
            reason = getattr(error, "strerror", None) or error
            log.warning("compiled-model cache: %s: %s; the next start compiles again", self.folder, reason)
        finally:
            self._compiled.clear()

    def _path(self, key: bytes) -> Path:
        return self.folder / (key.hex() + SUFFIX)

    def _is_ours(self) -> bool:
        """A compiled graph is as good as code: the folder is one that only this user can write to."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
        except (OSError, ValueError) as error:  # the second: a NUL in its name
            log.warning("no compiled-model cache: %s: %s", self.folder, getattr(error, "strerror", None) or error)
            return False
        if reason := _foreign(status):
            log.warning("no compiled-model cache: %s %s; `chmod 700` it, or name another", self.folder, reason)
        return not reason

    def _trim(self) -> None:
        entries = []
        for path in self.folder.iterdir():
            if path.suffix in (SUFFIX, PART):
                with suppress(FileNotFoundError):  # another daemon was faster
                    status = path.lstat()
                    entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= LARGEST:
                return
            path.unlink(missing_ok=True)
            total -= size


def cache_key(parts: Mapping[str, object]) -> bytes:
    """SHA-256 of everything that a compiled graph depends on, of JSON's types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def _digest(content: Bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _foreign(status: os.stat_result) -> str:
    """Why a file or folder cannot be trusted; empty: only this user can write to it."""
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be written by others" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _read_own(path: Path) -> bytes:
    """A regular file of this user's. OSError: it is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if reason := _foreign(status):
            raise OSError(reason)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise OSError(f"not a regular file of at most {LARGEST} bytes")
        return file.read()


def _write_whole(path: Path, key: bytes, content: Bytes) -> None:
    """Whole or not at all, also when another daemon writes the same entry."""
    digest = hashlib.sha256(key)
    digest.update(content)
    part = path.with_suffix(f".{secrets.token_hex(4)}{PART}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for block in (digest.digest(), key, content):
                file.write(block)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
