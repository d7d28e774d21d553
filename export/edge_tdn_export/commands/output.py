"""Output that several commands share."""

import sys
from pathlib import Path

from rich.console import Console

from edge_tdn.manifest import Manifest


def console() -> Console:
    """Return a console for tables: as wide as the terminal, 100 columns in a pipe. Texts are printed verbatim."""
    return Console(width=None if sys.stdout.isatty() else 100, markup=False, highlight=False)


def print_golden_errors(out: Path, manifest: Manifest) -> None:
    """Print the golden clip's error of every precision of a new model folder."""
    for name, build in manifest.precisions.items():
        error = build.golden_error
        result = f"{error:.1g} of the largest logit from PyTorch" if error is not None else "this machine cannot run it"
        print(f"{out}: {name}, golden clip: {result}")  # noqa: T201
