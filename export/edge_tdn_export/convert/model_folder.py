"""Writing into model folders: whole or not at all, and never behind somebody else's back."""

import glob
import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from edge_tdn.errors import ModelError, last_line
from edge_tdn.manifest import MANIFEST, Build, Manifest, Model, dump


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """A scratch folder beside `out` that becomes `out` if all goes well, and leaves nothing behind if not.

    What a process left there that was killed, or crashed, is removed. ModelError: `out` exists, or cannot be written.
    """
    if out.exists():
        raise ModelError(f"{out}: exists already; name another folder or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        clear_scratch(out.parent, glob.escape(out.name))
        (scratch := scratch_of(out)).mkdir(mode=0o700)
    except OSError as error:
        raise ModelError(f"{out.parent}: {error.strerror}; name a folder that can be written to") from error
    try:
        yield scratch
        scratch.chmod(0o755)
        scratch.rename(out)
    except (OSError, RuntimeError, SafetensorError) as error:  # OpenVINO and torch tell a full disk as RuntimeError
        raise ModelError(f"{out}: {last_line(error)}; nothing written; is the disk full?") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def scratch_of(path: Path) -> Path:
    """The name under which this process writes what is to become `path`."""
    return path.with_name(f".{path.name}-{platform.node()}-{os.getpid()}")


def clear_scratch(folder: Path, names: str) -> None:
    """Removes what dead processes of this host left in a folder. `names`: of what it was to become, a pattern.

    Of other hosts, which may share the folder, nobody here knows who is alive.
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
    """Another process of this number. This one has not begun to write: what bears its number is of an earlier one."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return process != os.getpid()


def write_at_once(path: Path, content: bytes) -> None:
    """Replaces a file whole or not at all. ModelError: it cannot be written."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; it is as it was before") from error
    finally:
        scratch.unlink(missing_ok=True)


def replace_manifest(model: Model, manifest: Manifest) -> None:
    """Writes a sealed manifest in the place of that which `model` was opened with. ModelError: it changed meanwhile."""
    check_unchanged(model)
    write_at_once(model.folder / MANIFEST, dump(manifest))


def check_unchanged(model: Model) -> None:
    """ModelError: the folder's manifest is another one than when it was opened."""
    path = model.folder / MANIFEST
    try:
        unchanged = hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256
    except OSError:
        unchanged = False
    if not unchanged:
        raise ModelError(f"{path}: something else changed it meanwhile; nothing written; run this again")


def files_of(build: Build) -> list[str]:
    """Every file of a precision, with the weights that stand beside an OpenVINO graph."""
    names = [name for graphs in build.graphs for name in (graphs.encoder, graphs.head)]
    return [file for name in names for file in (name, *([name[:-4] + ".bin"] if name.endswith(".xml") else []))]


def size_of(model: Model, build: Build) -> int:
    """Bytes of a precision's graphs."""
    return sum(model.manifest.files[name].size for name in set(files_of(build)))
