"""The text of a configuration error: file, line, key, value, and what is allowed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_tdn.config.synonyms import TABLE_ARRAYS, Tables, suggestion, table_array
from edge_tdn.spelling import hint

Keys = Sequence[str | int]  # the way to a key from the top of the file: ["camera", 1, "name"]
KeyPath = tuple[str | int, ...]  # the same, as a key of a dictionary
PLAINER = {  # type of a pydantic error: a message that a user of TOML understands
    "string_pattern_mismatch": "allowed: up to 64 letters, digits, dots, dashes and underscores, starting with a "
    "letter or a digit",
    "model_type": "should be a table: [name], with single brackets",
    "tuple_type": "should be a list: [...]",
    "string_too_short": "must not be empty",
    "missing": "required key is missing",
}
UNQUOTED = ("bool_type", "int_type", "float_type")  # pydantic errors
EVERY_KEY = "`edge-tdn reference` prints every key"


@dataclass(frozen=True)
class KeyOrigin:
    """Where a key of the configuration stands."""

    file: "ConfigFile"
    keys: Keys  # in that file
    written: str = ""  # the value before environment variables were put in; empty: it has none
    hides: "KeyOrigin | None" = None  # the same key in a file that was read before

    def place(self, rest: Keys = ()) -> str:
        """Return the file and the line, `site.toml:7`, of the key, or of the key `rest` below it."""
        return self.file.line([*self.keys, *rest])


@dataclass(frozen=True)
class ConfigFile:
    """The file that a configuration was read from. Without `text`, errors have no line number.

    The main file of a configuration has `origins`: where each key of the whole stands.
    """

    name: str = "configuration"
    text: str = field(default="", repr=False)  # may contain passwords
    origins: Mapping[KeyPath, tuple[KeyOrigin, ...]] = field(default_factory=dict, repr=False)
    read: tuple[str, ...] = ()  # the names of all files, in the order in which they were read
    unmatched: tuple[str, ...] = ()  # remarks on patterns of `include` that match no file

    def elsewhere(self) -> Iterator[tuple[Keys, KeyOrigin]]:
        """Yield the keys whose values stand in another file, contain variables, or hide those of another file."""
        tables = {keys[:length] for keys in self.origins for length in range(len(keys))}
        for keys, origins in self.origins.items():
            if keys not in tables and (origins[-1].file.name != self.name or origins[-1].written or origins[-1].hides):
                yield keys, origins[-1]

    def fault(self, keys: Keys, value: object, message: str) -> str:
        """Describe what is wrong with the value at `keys`, in one line without passwords."""
        shown = "" if isinstance(value, dict | list | tuple) else f" = {value!r}"
        origins = self.origins.get(tuple(keys), ())
        if shown and origins and origins[-1].written:
            shown += f" (from {origins[-1].written!r})"
        return re.sub(r"//.*@", "//***@", f"{self._place(keys)}{shown}: {message}")

    def unknown_key(self, keys: Keys, tables: Tables) -> str:
        """Describe a key that the table does not have. `tables`: all tables of the configuration."""
        *parents, name = (str(key) for key in keys if not isinstance(key, int))
        return f"{self._place(keys)}: unknown key; {suggestion('.'.join(parents), name, tables)}"

    def rejected(self, error: dict[str, Any]) -> str:
        """Describe one of the errors of a pydantic ValidationError, other than an unknown key."""
        keys, kind = list(error["loc"]), error["type"]
        if (array := table_array(keys)) and kind in ("tuple_type", "too_short"):
            return f"{self._place(keys)}: write [[{array}]], with two brackets: one table {TABLE_ARRAYS[array]}"
        message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
        value = {} if kind == "missing" else error["input"]
        return self.fault(keys, value, (PLAINER.get(kind) or message) + _advice(kind, value, error.get("ctx", {})))

    def line(self, keys: Keys) -> str:
        """Return the file and the line of a key: `site.toml:7`."""
        return f"{self.name}:{line_of(self.text, keys)}" if self.text else self.name

    def _place(self, keys: Keys) -> str:
        """`site.toml:7: camera[1].name`; all files and lines if a table stands in several."""
        known = next((n for n in range(len(keys), 0, -1) if tuple(keys[:n]) in self.origins), 0)
        origins = self.origins.get(tuple(keys[:known])) or (KeyOrigin(self, keys[:known]),)
        places = ", ".join(origin.place(keys[known:]) for origin in origins)
        return f"{places}: {key_name([*origins[-1].keys, *keys[known:]]) or 'configuration'}"


def key_name(keys: Keys) -> str:
    """Return the name of a key: `camera[1].name`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


def _advice(kind: str, value: object, context: Mapping[str, Any]) -> str:
    """Return what to do about a value of a wrong type, or about a misspelt one; empty: the message is enough."""
    if kind == "literal_error" and isinstance(value, str):
        near = hint(value, re.findall(r"'([^']*)'", context["expected"]))
        return f"; {near}" if near else ""
    if kind in UNQUOTED and isinstance(value, str):
        return "; write it without quotation marks"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "; write it in quotation marks"
    return ""


def line_of(text: str, keys: Keys) -> int:
    """Return the line number, from 1, of a key such as ["camera", 1, "name"], or of its table if it is not set."""
    target: KeyPath = tuple(keys)
    table: KeyPath = ()  # the one that the current line belongs to
    counts: dict[KeyPath, int] = {}  # number of the last table of each array
    best, length = 1, 0  # the header of the innermost table around the key
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*(\[\[?)\s*([\w.-]+)\s*\]", line):
            table = _table(found[2].split("."), found[1] == "[[", counts)
            shared = min(len(table), len(target))
            if shared > length and table[:shared] == target[:shared]:
                best, length = number, shared
        elif len(table) < len(target) and table == target[: len(table)] and _sets(line, target[len(table) :]):
            return number
    return best


def _sets(line: str, keys: KeyPath) -> bool:
    """Return whether a line sets the first of these keys, or with dots several of them: `decide.only = [...]`."""
    found = re.match(r'\s*("?[\w-]+"?(?:\s*\.\s*"?[\w-]+"?)*)\s*=', line)
    names = tuple(name.strip().strip('"') for name in found[1].split(".")) if found else ()
    return bool(names) and names == keys[: len(names)]


def _table(names: Sequence[str], is_array: bool, counts: dict[KeyPath, int]) -> KeyPath:
    """Return the keys that lead to the table with this header. `counts`: of the arrays so far, and of this one."""
    path: KeyPath = ()
    for place, name in enumerate(names, 1):
        path = (*path, name)
        if is_array and place == len(names):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
