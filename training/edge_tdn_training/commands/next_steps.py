"""The commands that continue where a command ends or fails: what was learned is never lost."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from edge_tdn.manifest import LABELS, WEIGHTS, InputSpec
from edge_tdn.permission import SERVED as INSTALLED
from edge_tdn.permission import copy_commands
from edge_tdn.shell import command

SITE = Path("site.toml")


def same_command(options: argparse.Namespace) -> str:
    """Return the command line that is running."""
    if dist.is_torchelastic_launched():
        return "the same torchrun command"
    return command("edge-tdn-train", *options.words)


def convert_command(
    run: Path,
    out: Path,
    spec: InputSpec,
    background: Sequence[str],
    id: str = "",  # noqa: A002
    precisions: Sequence[str] = (),
) -> str:
    """Return the command that makes the model folder `out` of a run's weights. `id`: as for `edge-tdn-export`."""
    words: list[str | Path] = [run / WEIGHTS, out, "--labels", run / LABELS]
    words += ["--size", str(spec.height), "--resize", spec.resize]
    words += ["--short-side", str(spec.short_side)] if spec.short_side else []
    words += ["--frame-rate", str(spec.frame_rate).removesuffix(".0"), "--segment-stride", str(spec.segment_stride)]
    words += [f"--background={label}" for label in background]
    words += [f"--id={id}"] if id else []
    words += ["--precisions", *precisions] if precisions else []
    return command("edge-tdn-export", "convert", *words)


def serve_lines(model: Path) -> list[str]:
    """Return the lines that put a model folder into service on this machine, each command in a line of its own.

    They name the configuration in this folder, or else that of an installed host, whose models are below it.
    """
    models = INSTALLED / "models"
    copied = models / model.name
    copy = f"  {copy_commands(model.resolve(), models)}"
    if (INSTALLED / SITE).is_file() and not SITE.is_file():
        return [
            f"next, copy it to where the service can read it, and name it in {INSTALLED / SITE}:",
            copy,
            *_runtime(str(copied)),
            "then check and reload it; the cameras that are running continue:",
            f"  {command('edge-tdn', 'check', '--config', INSTALLED / SITE)}",
            "  sudo systemctl reload edge-tdn",
        ]
    return [
        f"next, name it in {SITE}, the configuration of your cameras (on another machine: copy the folder there):",
        *_runtime(str(model.resolve())),
        "then check and run it (a daemon that runs already: send it SIGHUP):",
        f"  {command('edge-tdn', 'check', '--config', SITE)}",
        f"  {command('edge-tdn', 'run', '--config', SITE)}",
        "for a service, which cannot read it here, copy it first:",
        copy,
        f"  model = {json.dumps(str(copied), ensure_ascii=False)}",
    ]


def _runtime(model: str) -> list[str]:
    """Return the table of the configuration, with the precision that is always there and the most accurate."""
    return ["  [runtime]", f"  model = {json.dumps(model, ensure_ascii=False)}", '  precision = "fp32"']


@contextmanager
def noted(kind: type[Exception], *lines: str) -> Iterator[None]:
    """Add lines to an error of this kind; they are printed below its message."""
    try:
        yield
    except kind as error:
        error.add_note("\n".join(lines))
        raise


@contextmanager
def weights_kept(options: argparse.Namespace, run: Path, otherwise: str) -> Iterator[None]:
    """Add to any error that the weights are kept in `run`, and how to continue. `otherwise`: a command of fewer steps.

    An error that is none of ours keeps its traceback, and Python prints the lines below it.
    """
    with noted(
        Exception,
        f"the trained weights are kept: {run / WEIGHTS}",
        f"to continue from there: {same_command(options)}",
        f"without INT8, comparison and evaluation: {otherwise}",
    ):
        yield
