"""Write into model folders: whole or not at all, and never over the changes of another process."""

import glob
import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_tdn.errors import ModelError, last_line
from edge_tdn.manifest import MANIFEST, Build, Manifest, Model, dump
from edge_tdn_export.interrupts import raise_if_interrupted


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """Yield a scratch folder that is renamed to `out` on success and removed on failure.

    Scratch folders of processes that crashed or were killed are removed too. ModelError: `out` exists, or it cannot be
    written.
    """
    if out.exists():
        raise ModelError(f"{out}: exists already; choose another folder or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        clear_scratch(out.parent, glob.escape(out.name))
        (scratch := scratch_of(out)).mkdir(mode=0o700)
    except OSError as error:
        raise ModelError(f"{out.parent}: {error.strerror}; choose a writable folder") from error
    try:
        yield scratch
        raise_if_interrupted()
        scratch.chmod(0o755)
        scratch.rename(out)
    except (OSError, RuntimeError) as error:  # OpenVINO and torch raise RuntimeError when the disk is full
        raise ModelError(f"{out}: {last_line(error)}; nothing written; is the disk full?") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def scratch_of(path: Path) -> Path:
    """Return the path of this process's scratch file or folder for `path`."""
    return path.with_name(f".{path.name}-{platform.node()}-{os.getpid()}")


def clear_scratch(folder: Path, names: str) -> None:
    """Remove the scratch files and folders of dead processes of this host. `names`: glob pattern of their targets.

    Those of other hosts, which may share the folder, stay: their processes cannot be checked from here.
    """
    for left in folder.glob(f".{names}-{glob.escape(platform.node())}-*"):
        number = left.name.rpartition("-")[2]
        if not number.isdigit() or _alive(int(number)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    """Check for a living process of this number, other than this one, which has not begun to write."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        return True
    return process != os.getpid()


def write_at_once(path: Path, content: bytes) -> None:
    """Replace a file atomically, and create its folder. ModelError: it cannot be written."""
    scratch = scratch_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_scratch(path.parent, glob.escape(path.name))
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; the file is unchanged") from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def replace_manifest(model: Model, manifest: Manifest) -> None:
    """Replace the manifest that `model` was opened with. ModelError: another process has changed it since."""
    check_unchanged(model)
    write_at_once(model.folder / MANIFEST, dump(manifest))


def check_unchanged(model: Model) -> None:
    """Check that the manifest is still the one that was opened. ModelError: it has changed."""
    path = model.folder / MANIFEST
    try:
        unchanged = hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256
    except OSError:
        unchanged = False
    if not unchanged:
        raise ModelError(f"{path}: another process has changed it; nothing written; run this command again")


def files_of(build: Build) -> list[str]:
    """Return all files of a precision, relative to the folder: its graphs, and the weights of OpenVINO's graphs."""
    names = [name for graphs in build.graphs for name in (graphs.encoder, graphs.head)]
    return [file for name in names for file in (name, *([name[:-4] + ".bin"] if name.endswith(".xml") else []))]


def size_of(model: Model, build: Build) -> int:
    """Return the size of a precision's graphs in bytes."""
    return sum(model.manifest.files[name].size for name in set(files_of(build)))
