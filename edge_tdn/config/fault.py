"""The text of a configuration error: file, line, key, value, and what is allowed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_tdn.spelling import nearest

Keys = Sequence[str | int]  # the way to a key from the top of the file: ["camera", 1, "name"]
PLAINER = {  # type of a pydantic error: a message that a user of TOML understands
    "string_pattern_mismatch": "allowed: up to 64 letters, digits, dots, dashes and underscores, starting with a "
    "letter or a digit",
    "model_type": "should be a table: [name], with single brackets",
    "tuple_type": "should be a list: [...]",
    "string_too_short": "must not be empty",
    "missing": "required key is missing",
}
REPLACED = {  # a key of an earlier version: what to write instead
    "decide.smoothing_clips": "replaced by smoothing_s, seconds instead of clips: multiply the clips by the seconds "
    "from one to the next, which are hop * 4 / 15 for the shipped model; 3 clips are smoothing_s = 0.8",
}
TABLE_ARRAYS = {"camera": "for each camera, and at least one", "decide.action": "for each action"}


@dataclass(frozen=True)
class ConfigFile:
    """The file that a configuration was read from. Without `text`, errors have no line number."""

    name: str = "configuration"
    text: str = field(default="", repr=False)  # may contain passwords

    def fault(self, keys: Keys, value: object, message: str) -> str:
        """Describe what is wrong with the value at `keys`, in one line without passwords."""
        shown = "" if isinstance(value, dict | list | tuple) else f" = {value!r}"
        return re.sub(r"//.*@", "//***@", f"{self._place(keys)}{shown}: {message}")

    def unknown_key(self, keys: Keys, allowed: Sequence[str]) -> str:
        replaced = REPLACED.get(".".join(map(str, keys)))
        return f"{self._place(keys)}: {replaced or f'unknown key; {nearest(str(keys[-1]), allowed)}'}"

    def rejected(self, error: dict[str, Any]) -> str:
        """Describe one of the errors of a pydantic ValidationError, other than an unknown key."""
        keys, kind = list(error["loc"]), error["type"]
        array = ".".join(map(str, keys))
        if array in TABLE_ARRAYS and kind in ("tuple_type", "too_short"):
            return f"{self._place(keys)}: write [[{array}]], with two brackets: one table {TABLE_ARRAYS[array]}"
        message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
        return self.fault(keys, {} if kind == "missing" else error["input"], PLAINER.get(kind) or message)

    def _place(self, keys: Keys) -> str:
        """`site.toml:7: camera[1].name`."""
        name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
        line = f":{line_of(self.text, keys)}" if self.text else ""
        return f"{self.name}{line}: {name or 'configuration'}"


def line_of(text: str, keys: Keys) -> int:
    """Return the line number, from 1, of a key such as ["camera", 1, "name"], or of its table if it is not set."""
    names = [key for key in keys if isinstance(key, str)]
    key, table = names[-1] if names else "", ".".join(names[:-1])
    last = keys.index(key) if names else 0
    index = next((k for k in keys[:last] if isinstance(k, int)), 0)  # number of the table among those of its name
    own = next((k for k in keys[last:] if isinstance(k, int)), 0)  # the same, where the key is itself a table
    header, seen, best = "", dict[str, int](), 1
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?", line)
        if found:
            header = found[1]
            seen[header] = seen.get(header, -1) + 1
            if (header, seen[header]) in ((table, index), (".".join(names), own)):
                best = number
        elif (header, seen.get(header, 0)) == (table, index) and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            return number
    return best
