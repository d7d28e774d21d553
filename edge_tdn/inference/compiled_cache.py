"""A cache of compiled graphs on disk, so that a daemon restarts in a second. Entries are hashed, keyed and self-tested.

OpenVINO's own cache serves a damaged graph without an error (3 of 40 flipped bits), hence this one. An entry is

    <folder>/<key>.compiled    SHA-256 of the rest, the key (32 bytes each), the graph as the device exports it

Its key is the SHA-256 of everything that a compiled graph depends on: another model, device, option or version finds no
entry. Entries are written atomically, and read only if no other user may write to them. When they exceed
`MAX_CACHE_BYTES` together, the least recently used are deleted.
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

MAX_CACHE_BYTES = 1 << 30  # of all entries together: ten networks of 100 MB
SUFFIX, PARTIAL_SUFFIX = ".compiled", ".compiling"  # of an entry, and of one that is being written
HASH_BYTES = 32

Bytes = bytes | memoryview


def cache_folder(setting: str, base: Path) -> Path | None:
    """Return the folder that `[runtime] cache` names: "auto" is systemd's or the user's cache, "off" is none."""
    if setting == "off":
        return None
    try:
        if setting != "auto":
            return base / Path(setting).expanduser()
        if given := os.environ.get("CACHE_DIRECTORY"):  # from systemd; several folders are separated by colons
            return Path(given.split(":")[0])
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-tdn"
    except RuntimeError as error:
        log.warning("no compiled-model cache: %s; set runtime.cache to a folder", error)
        return None


class CompiledCache:
    """The cache while one runtime is opened, by one thread. New graphs are written after the self-test: see `keep`."""

    def __init__(self, folder: Path, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self.folder = folder
        self.found: list[Path] = []  # entries that were read
        self._max_bytes = max_bytes
        self._compiled: list[tuple[Path, bytes, Callable[[], Bytes]]] = []  # path, key, export of each new graph
        self._usable = self._is_private()

    def read(self, key: bytes) -> memoryview | None:
        """Return the compiled graph for a key; None: there is none, or it cannot be trusted."""
        path = self._path(key)
        if not self._usable or not os.path.lexists(path):
            return None
        try:
            content = memoryview(_read_private(path))
            if content[HASH_BYTES : 2 * HASH_BYTES] != key or _digest(content[HASH_BYTES:]) != content[:HASH_BYTES]:
                raise OSError("damaged")
            with suppress(OSError):  # on a read-only disk it only looks unused
                os.utime(path)
        except OSError as error:
            self.refuse(key, error.strerror or str(error))
            return None
        self.found.append(path)
        return content[2 * HASH_BYTES :]

    def refuse(self, key: bytes, reason: str) -> None:
        """Delete an entry that cannot be used."""
        log.warning("compiled-model cache: %s: %s; compiling again", self._path(key), reason)
        with suppress(OSError):
            self._path(key).unlink()

    def forget(self) -> None:
        """Delete the entries that were read, because their graphs failed the self-test."""
        self._compiled.clear()
        while self.found:
            with suppress(OSError):
                self.found.pop().unlink()

    def offer(self, key: bytes, export: Callable[[], Bytes]) -> None:
        """Remember a newly compiled graph; `export` returns its bytes."""
        if self._usable:
            self._compiled.append((self._path(key), key, export))

    def keep(self) -> None:
        """Write the offered graphs. A full or read-only disk causes a warning, nothing else."""
        try:
            for path, key, export in self._compiled:
                _write_atomically(path, key, export())
            if self._compiled:
                self._trim()
        except (OSError, RuntimeError, MemoryError) as error:  # the last two from `export`
            reason = getattr(error, "strerror", None) or error
            log.warning("compiled-model cache: %s: %s; the next start compiles again", self.folder, reason)
        finally:
            self._compiled.clear()

    def _path(self, key: bytes) -> Path:
        return self.folder / (key.hex() + SUFFIX)

    def _is_private(self) -> bool:
        """Return whether only this user can write to the folder: a compiled graph is code."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            reason = getattr(error, "strerror", None) or error
            log.warning("no compiled-model cache: %s: %s; set runtime.cache to a folder", self.folder, reason)
            return False
        if reason := _reason_for_distrust(status):
            log.warning("no compiled-model cache: %s %s; `chmod 700` it, or set runtime.cache", self.folder, reason)
        return not reason

    def _trim(self) -> None:
        """Delete the least recently used entries beyond the size limit."""
        entries = []
        for path in self.folder.iterdir():
            if path.suffix in (SUFFIX, PARTIAL_SUFFIX):
                with suppress(FileNotFoundError):  # another daemon deleted it
                    status = path.lstat()
                    entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def cache_key(parts: Mapping[str, object]) -> bytes:
    """Return the SHA-256 of everything that a compiled graph depends on; values are of JSON's types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def _digest(content: Bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _reason_for_distrust(status: os.stat_result) -> str:
    """Return why a file or folder cannot be trusted; empty: only this user can write to it."""
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be written by others" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _read_private(path: Path) -> bytes:
    """Read a regular file that only this user can write to. OSError: it is something else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if reason := _reason_for_distrust(status):
            raise OSError(reason)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_CACHE_BYTES:
            raise OSError(f"not a regular file of at most {MAX_CACHE_BYTES} bytes")
        return file.read()


def _write_atomically(path: Path, key: bytes, content: Bytes) -> None:
    """Write an entry atomically, even if another daemon writes the same one."""
    digest = hashlib.sha256(key)
    digest.update(content)
    part = path.with_suffix(f".{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for block in (digest.digest(), key, content):
                file.write(block)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
