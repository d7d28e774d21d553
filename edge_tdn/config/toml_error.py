"""Plainer errors of the TOML parser: a table or a key that exists already is named with both of its lines."""

import ast
import re

AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
TWICE = re.compile(r"Cannot declare (\(.*\)) twice")


def explained(message: str, text: str) -> str:
    """Return the message of a tomllib.TOMLDecodeError for a file with `text`, or a plainer one where it is known."""
    at = AT.search(message)
    line = int(at[1] or len(text.splitlines())) if at else 0
    plainer = ""
    if twice := TWICE.match(message):
        plainer = _table_twice(".".join(map(str, ast.literal_eval(twice[1]))), line, text)
    elif line and message.startswith("Cannot overwrite a value"):
        plainer = _key_twice(line, text)
    return plainer or f"invalid TOML: {message}"


def _table_twice(name: str, line: int, text: str) -> str:
    """Return that the table in this line exists already; empty if its first line is not found."""
    before = text.splitlines()[: line - 1]
    if several := _first(re.compile(rf"\s*\[\[\s*{re.escape(name)}\s*\]"), before):
        return f"line {line}: [{name}] has two brackets in line {several}: write [[{name}]]"
    first = _first(re.compile(rf"\s*\[\s*{re.escape(name)}\s*\]"), before)
    return f"line {line}: the table [{name}] exists already (line {first}): write its keys there" if first else ""


def _key_twice(line: int, text: str) -> str:
    """Return that the key in this line exists already in its table; empty if its first line is not found."""
    before = text.splitlines()[:line]
    key = re.match(r"\s*([\w\"'.-]+)\s*=", before[-1])
    if not key:
        return ""
    table = max((number for number, one in enumerate(before) if one.lstrip().startswith("[")), default=-1) + 1
    first = _first(re.compile(rf"\s*{re.escape(key[1])}\s*="), before[table:-1])
    return f"line {line}: the key {key[1]} exists already (line {table + first}): keep one of them" if first else ""


def _first(pattern: re.Pattern[str], lines: list[str]) -> int:
    """Return the number, from 1, of the first line that matches; 0: none does."""
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 0)
