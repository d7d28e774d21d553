"""Environment variables in the values of a configuration: "${NAME}", or "${NAME:-DEFAULT}"; "$${" stands for "${".

DEFAULT applies while the variable is unset or empty. Where a key takes a number, true or false, the text is read as
TOML. A variable whose name says that it is secret is hidden from logs and errors.
"""

import os
import re
import tomllib
from typing import Any

from edge_tdn.config.fault import ConfigFile, KeyPath
from edge_tdn.config.key_types import is_number
from edge_tdn.process.passwords import hide
from edge_tdn.spelling import hint

VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.S)  # name, default
SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|(?:^|_)(?:PW|PIN|KEY)(?:_|$)", re.I)


class Variables:
    """Puts the environment's variables into the values of one file. Collects what is wrong with them."""

    def __init__(self, file: ConfigFile) -> None:
        self.written: dict[KeyPath, str] = {}  # the values that contain a variable, as they stand in the file
        self.faults: list[str] = []
        self._file = file

    def put_into(self, value: Any, keys: KeyPath = ()) -> Any:
        """Return a value, or a table or list of values, with its variables replaced."""
        if isinstance(value, dict):
            return {key: self.put_into(one, (*keys, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self.put_into(one, (*keys, number)) for number, one in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        self.written[keys] = value
        text = VARIABLE.sub(lambda found: self._replacement(found, keys, value), value)
        return _number(text) if keys and is_number(keys) else text

    def _replacement(self, found: re.Match[str], keys: KeyPath, value: str) -> str:
        if found[1] is None:
            return "${"
        reference = REFERENCE.fullmatch(found[1])
        if not reference or not found[2]:
            message = "allowed: ${NAME}, or ${NAME:-DEFAULT}; a literal ${ is written $${"
            self.faults.append(self._file.fault(keys, value, message))
            return ""
        name, default = reference[1], reference[2]
        content = os.environ.get(name)
        if SECRET_NAME.search(name):
            hide(content or "")
            hide(default or "")
        if default is not None:
            return content or default
        if content is None:
            others = [other for other in os.environ if not other.startswith("_")]
            message = " ".join(
                filter(None, (f"the environment variable {name} is not set;", hint(name, others), _how_to_set(name)))
            )
            self.faults.append(self._file.fault(keys, value, message))
        return content or ""


def _how_to_set(name: str) -> str:
    return (
        "set it where the program is started (for the service in /etc/default/edge-tdn; set there after the start: "
        f"systemctl restart edge-tdn), or write ${{{name}:-DEFAULT}}"
    )


def _number(text: str) -> Any:
    """Return the number or truth value that a text is in TOML; if it is none, the text, which is refused later."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except (ValueError, RecursionError):
        return text
