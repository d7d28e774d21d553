"""The help of a command whose module cannot be imported, because PyTorch is missing: read from the module's source."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

from edge_tdn.help.command_help import CommandHelp, Example


def unimported_help(module: str) -> CommandHelp | None:
    """Return the HELP of a module without importing it; None if the module has none of constants alone."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["HELP"]:
            return _evaluated(node.value)
    return None


def _evaluated(call: ast.expr) -> CommandHelp | None:
    if not isinstance(call, ast.Call):
        return None
    try:
        return CommandHelp(**{str(word.arg): _constant(word.value) for word in call.keywords})
    except ValueError:  # an f-string, or a name
        return None


def _constant(value: ast.expr) -> Any:
    """Return a constant, or a tuple of examples of constants. ValueError: it is something else."""
    if isinstance(value, ast.Tuple):
        return tuple(_constant(one) for one in value.elts)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == Example.__name__:
        return Example(*map(ast.literal_eval, value.args))
    return ast.literal_eval(value)
