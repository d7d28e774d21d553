"""The files of a configuration: the main file, and those that its `include` names. They are merged key by key.

The main file wins over the included ones, and of these the later one. Tables of [[camera]] and [[decide.action]] are
collected from all files, in the order in which these are read: the main file is the last.
"""

import glob
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from edge_tdn.config.checks import SOURCE_KINDS
from edge_tdn.config.fault import EVERY_KEY, ConfigFile, KeyOrigin, KeyPath
from edge_tdn.config.synonyms import table_array
from edge_tdn.config.toml_error import explained
from edge_tdn.config.variables import Variables
from edge_tdn.errors import ConfigError
from edge_tdn.permission import remedy
from edge_tdn.spelling import hint
from edge_tdn.text_file import decode

PATH_KEYS = frozenset(  # whose relative paths start at the file in which they stand
    (
        *("password_file", "token_file", "ca_file", "cert_file", "key_file"),
        *("model", "cache", "folder", "label_folder", "source", "record_source"),
    )
)
WORDS = ("", "auto", "off")  # in place of a path


@dataclass(frozen=True)
class ConfigPart:
    """One file of a configuration."""

    path: Path
    file: ConfigFile
    content: dict[str, Any]
    written: Mapping[KeyPath, str]  # the values that contain a variable, as they stand in the file


def read_parts(path: Path) -> list[ConfigPart]:
    """Return the files of a configuration, the main one last. Raises ConfigError."""
    main = _read(path)
    return [*(_included(path, main, number) for number, path in _paths(main)), main]


def unmatched(main: ConfigPart) -> list[str]:
    """Return a remark on each pattern of `include` that matches no file."""
    message = "matches no file, so that nothing is included"
    return [main.file.fault(["include", n], pattern, message) for n, pattern, found in _matches(main) if not found]


def merged(parts: Sequence[ConfigPart]) -> tuple[dict[str, Any], ConfigFile]:
    """Return the content of all files, and the main file, which knows where each key stands."""
    main = parts[-1]
    merge = _Merge(main.path.parent)
    for part in parts:
        merge.add(part)
    names = tuple(part.file.name for part in parts)
    return merge.content, ConfigFile(main.file.name, main.file.text, merge.origins, names, tuple(unmatched(main)))


def _read(path: Path, missing: str = f"name yours with --config, and {EVERY_KEY}", named: str = "") -> ConfigPart:
    """Read a file. `missing`: what to do if it does not exist. `named`: where the main file names it."""
    try:
        text = decode(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: {error.strerror}; {missing}") from error
    except PermissionError as error:
        raise ConfigError("; ".join(filter(None, (f"{path}: {error.strerror}", named, remedy(path))))) from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {explained(str(error), text)}") from error
    file = ConfigFile(str(path), text)
    variables = Variables(file)
    content = variables.put_into(content)
    if variables.faults:
        raise ConfigError("\n".join(variables.faults))
    return ConfigPart(path, file, content, variables.written)


def _included(path: Path, main: ConfigPart, number: int) -> ConfigPart:
    named = main.file.fault(["include", number], main.content["include"][number], "names this file")
    part = _read(path, named, named)
    if "include" in part.content:
        message = f"only the main file, {main.path}, may include others"
        raise ConfigError(part.file.fault(["include"], part.content["include"], message))
    return part


def _paths(main: ConfigPart) -> Iterator[tuple[int, Path]]:
    """Yield each included file once, with the number of the pattern that names it. Raises ConfigError."""
    seen = set[Path]()
    for number, pattern, found in _matches(main):
        if not found:
            _check_folder(main, number, pattern)
        for path in found:
            if path.resolve() == main.path.resolve():
                message = "matches this file itself; keep the files to include in a folder of their own"
                raise ConfigError(main.file.fault(["include", number], pattern, message))
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield number, path


def _matches(main: ConfigPart) -> Iterator[tuple[int, str, list[Path]]]:
    """Yield the number and the text of each pattern, and its files; a name has its file, even if that is missing."""
    patterns = main.content.get("include", [])
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        return  # refused with the other keys of a wrong type
    for number, pattern in enumerate(patterns):
        whole = Path(glob.escape(str(main.path.parent)), pattern)
        found = sorted(glob.glob(str(whole), recursive=True))  # noqa: PTH207  (it takes absolute patterns, too)
        if not found and not glob.has_magic(pattern):
            found = [str(main.path.parent / pattern)]  # reading it reports why it cannot be read
        yield number, pattern, list(map(Path, found))


def _check_folder(main: ConfigPart, number: int, pattern: str) -> None:
    """Raise ConfigError if a pattern matches no file because its folder is missing, or cannot be listed."""
    names = Path(pattern).parts[:-1]
    folder = main.path.parent.joinpath(*takewhile(lambda name: not glob.has_magic(name), names))
    try:
        with os.scandir(folder):
            return
    except OSError as error:
        message = f"{folder}: {error.strerror}; {_folder_remedy(folder, error)}"
        raise ConfigError(main.file.fault(["include", number], pattern, message)) from error


def _folder_remedy(folder: Path, error: OSError) -> str:
    """Return what to do about a folder that cannot be listed."""
    if isinstance(error, PermissionError):
        return remedy(folder)
    if not isinstance(error, FileNotFoundError):
        return "it must be a folder"
    others: list[str] = []
    with suppress(OSError):
        others = [one.name for one in folder.parent.iterdir() if one.is_dir()]
    return "; ".join(filter(None, ("correct the path, or create the folder", hint(folder.name, others))))


@dataclass
class _Merge:
    """Collects the content of the files, and where each key of it stands. `base`: the main file's folder."""

    base: Path
    content: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, tuple[KeyOrigin, ...]] = field(default_factory=dict)

    def add(self, part: ConfigPart) -> None:
        self._add_table(part, self.content, part.content, (), ())

    def _add_table(
        self,
        part: ConfigPart,
        into: dict[str, Any],
        table: dict[str, Any],
        keys: KeyPath,
        own: KeyPath,
    ) -> None:
        """Add a table of a file. `keys` leads to it in the whole content, `own` in its file."""
        for key, value in table.items():
            at, here = (*keys, key), (*own, key)
            written = ", ".join(text for place, text in part.written.items() if place[: len(here)] == here)
            origin = KeyOrigin(part.file, here, written)
            before = into.get(key)
            if table_array(at) or isinstance(value, dict) or isinstance(before, dict):
                kind = list if table_array(at) else dict
                if key in into and not isinstance(before, kind):
                    continue  # a value in place of a table stays, and is refused
                if isinstance(value, kind):
                    self.origins[at] = (*self.origins.get(at, ()), origin)
                    collected = into.setdefault(key, kind())
                    self._collect(part, collected, value, at, here)
                    continue
            self.origins[at] = (replace(origin, hides=self.origins.get(at, (None,))[-1]),)
            into[key] = self._located(part, key, value)

    def _collect(self, part: ConfigPart, into: Any, value: Any, at: KeyPath, here: KeyPath) -> None:
        """Add a table to a table, or the tables of an array to those of an array."""
        if isinstance(value, dict):
            self._add_table(part, into, value, at, here)
            return
        for number, table in enumerate(value):
            index = len(into)
            self.origins[*at, index] = (KeyOrigin(part.file, (*here, number)),)
            into.append({} if isinstance(table, dict) else table)
            if isinstance(table, dict):
                self._add_table(part, into[index], table, (*at, index), (*here, number))

    def _located(self, part: ConfigPart, key: str, value: Any) -> Any:
        """Return a value; if it is a relative path in a file of another folder, the path from there."""
        folder = part.path.parent
        if key not in PATH_KEYS or not isinstance(value, str) or value in WORDS or folder == self.base:
            return value
        value = value.removeprefix("file://")
        if value.partition(":")[0].lower() in SOURCE_KINDS or value.startswith("~"):
            return value
        if key == "model" and os.sep not in value and not (folder / value).exists():
            return value  # the name of a shipped model
        return str(folder.absolute() / value)  # the consumers start a relative one at the main file's folder
