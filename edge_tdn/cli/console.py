"""A rich console that prints text as it is: square brackets are not markup, and numbers are not coloured."""

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """`options` are those of rich.console.Console."""
    return Console(markup=False, highlight=False, **options)
