"""Files of a model folder, which are used only if their size and SHA-256 are those that the manifest records."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edge_tdn.errors import ModelError
from edge_tdn.foreign_file import HEAD_BYTES, failed_copy

MAX_FILE_BYTES = 2 << 30

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FileRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0, le=MAX_FILE_BYTES)
    sha256: Sha256


def record_of(path: Path) -> FileRecord:
    """Return size and hash of a file, for a manifest."""
    raw = path.read_bytes()
    return FileRecord(size=len(raw), sha256=hashlib.sha256(raw).hexdigest())


def verify_file(path: Path, record: FileRecord) -> None:
    """Verify a file without keeping its content. ModelError: it differs from its record."""
    with _open_regular(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        _compare(path, record, os.fstat(file.fileno()).st_size, sha256, file.read(HEAD_BYTES))


def read_verified(path: Path, record: FileRecord) -> bytes:
    """Return the content of a file. ModelError: it differs from its record."""
    raw = read_regular(path)
    _compare(path, record, len(raw), hashlib.sha256(raw).hexdigest(), raw[:HEAD_BYTES])
    return raw


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file. ModelError: it is a link, a pipe, a folder or too large."""
    with _open_regular(path) as file:
        return file.read()


def _compare(path: Path, record: FileRecord, size: int, sha256: str, head: bytes) -> None:
    if sha256 != record.sha256 and (reason := failed_copy(head)):
        raise ModelError(f"{path}: {reason}")
    if size != record.size:
        raise ModelError(f"{path}: {size} bytes, but {record.size} in the manifest; copy or export the model again")
    if sha256 != record.sha256:
        raise ModelError(f"{path}: content changed since export (sha256 differs); copy or export the model again")


@contextmanager
def _open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file, not a link: a model folder is data and must not point elsewhere."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not block
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        what_to_do = "make it readable" if isinstance(error, PermissionError) else "copy or export the model again"
        raise ModelError(f"{path}: {reason}; {what_to_do}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise ModelError(
                f"{path}: not a regular file of at most {MAX_FILE_BYTES} bytes; copy or export the model again"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)
