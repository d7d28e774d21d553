"""Output that several commands share."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from edge_tdn.manifest import Manifest
from edge_tdn.verdict import MIN_CLIPS, MIN_RECORDINGS, Claim, Verdict, rounded_up


def console() -> Console:
    """Return a console for tables: as wide as the terminal, 100 columns in a pipe. Texts are printed verbatim."""
    return Console(width=None if sys.stdout.isatty() else 100, markup=False, highlight=False)


def add_allow_few_clips(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-few-clips",
        action="store_true",
        help=f"exit with 0 also if there are fewer than {MIN_CLIPS} clips or {MIN_RECORDINGS} recordings; the verdict "
        f"stays `{Verdict.TOO_FEW}`",
    )


def exit_status(claims: Iterable[Claim], allow_few_clips: bool) -> int:
    """Return 0 if every claim holds, else 1. `allow_few_clips`: too few clips count as holding."""
    allowed = (Verdict.TOO_FEW,) if allow_few_clips else ()
    return 0 if all(claim.holds or claim.verdict in allowed for claim in claims) else 1


def print_golden_errors(out: Path, manifest: Manifest) -> None:
    """Print the golden clip's error of every precision of a new model folder."""
    for name, build in manifest.precisions.items():
        error = build.golden_error
        result = (
            f"{rounded_up(error)} of the largest logit from PyTorch"
            if error is not None
            else "this machine cannot run it"
        )
        print(f"{out}: {name}, golden clip: {result}")  # noqa: T201
