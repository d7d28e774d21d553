"""The command line of the exporter: edge-tdn-export convert | quantize | ensemble | parity | inspect | explain."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console

from edge_tdn.capture.video_file import length_s
from edge_tdn.demo.demo_clip import DEMO, demo_clip
from edge_tdn.errors import ConfigError, ModelError, SourceError
from edge_tdn.manifest import InputSpec, Manifest, find_model, open_model
from edge_tdn_export.clips import find_videos, read_clips
from edge_tdn_export.command_line import run_command
from edge_tdn_export.convert.convert import DEFAULT_PRECISIONS, PRECISIONS, Recipe, convert, steps
from edge_tdn_export.explain.gradcam import (
    Subject,
    best_clip,
    clip_at,
    look_at,
    open_baseline,
    open_subject,
    subject_of,
)
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.input_spec import input_of
from edge_tdn_export.network.tdn import DEPTHS, FUSIONS, UPSAMPLINGS, TDNConfig
from edge_tdn_export.progress import bar, stepped

EPILOG = """a published Something-Something model:
  edge-tdn-export convert best.pth.tar models/ssv2 --arch resnet50 --segments 8 --labels labels.txt

a Kinetics model, trained at 25 frames a second, a segment every 8 frames:
  edge-tdn-export convert best.pth.tar models/k400 --arch resnet50 --segments 8 --labels labels.txt \\
      --frame-rate 25 --segment-stride 8

is it equal on your own videos, and in which precisions?
  edge-tdn-export parity models/ssv2 --clips videos/

exit status: 0 written, or equal; 1 not equal (parity); 78 checkpoint, labels or sizes wrong (nothing is written)
"""


PARITY_EPILOG = """compares the live path's input with Pillow's, and every node of the graphs, features, logits, labels
and events with full-precision PyTorch, on clips cut from the videos; the figures go into the manifest, where
`edge-tdn check` shows them

limits: fp32, onnx   logits within 1e-4 of the largest, same top-1, same events
        fp16, bf16   logits within 2e-2, top-1 agreement at least 99 %
        int8         top-1 agreement at least 99 %, mean KL at most 0.01

exit status: 0 inside the limits, 1 not, 78 model or videos wrong
"""

ENSEMBLE_EPILOG = """the published ensemble, of 8 and of 16 segments of the same 52 frames:
  edge-tdn-export convert tdn8.pth.tar models/ssv2-8 --segments 8 --labels labels.txt
  edge-tdn-export convert tdn16.pth.tar models/ssv2-16 --segments 16 --labels labels.txt
  edge-tdn-export ensemble models/ssv2-8 models/ssv2-16 models/ssv2-8-16 --segment-stride 6

Both networks look at every stream: the first at a segment every 6 frames, the second at one every 3, so that their
clips span the same time. The folder serves like any other: name it as `model` in the configuration of edge-tdn.

exit status: 0 written and proven equal to PyTorch, 78 the folders do not fit each other (nothing is written)
"""


QUANTIZE_EPILOG = """the operators that must stay in floating point to keep the limits, as few as will do, are found by
measuring; int8/quantize.json says which, and what each of them brings

  edge-tdn-export quantize models/ssv2 --clips videos/
  edge-tdn-export quantize models/ssv2 --clips videos/ --limit top1=0.98 --limit kl=0.02 --replace

exit status: 0 written, inside the limits; 78 model, videos or limits wrong, or the limits cannot be kept (nothing is
written)
"""

EXPLAIN_EPILOG = """what in this recording looks most like an action, and where does the model see it?
  edge-tdn-export explain motion garden.mp4 --out why.png

the clip around 12.5 s, and what speaks for `left` in it, whatever the model says:
  edge-tdn-export explain motion garden.mp4 --at 12.5 --label left --out left.png

beside the same network trained as TSN, as in the paper's figures 3 to 6:
  edge-tdn-export explain models/tdn garden.mp4 --baseline models/tsn --out both.png

from top to bottom: the centre frames of the segments; Grad-CAM (Selvaraju et al., 2017) over them, a row a network,
each row on a scale of its own; D(X), the four differences of a segment that the S-TDM gets, grey where nothing changes

exit status: 0 written; 66 the video cannot be played; 78 model, label, moment or file wrong (nothing is written)
"""

INPUT = ("size", "resize", "short_side", "frame_rate", "segment_stride")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status. Errors that a user can mend are said without a traceback."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    return run_command("edge-tdn-export", lambda: _parser().parse_args(arguments))


def _convert(options: argparse.Namespace) -> int:
    network = checkpoint.load(options.checkpoint, **_network(options))
    recipe = Recipe(
        id=options.id or options.out.name,
        labels=options.labels,
        input=_input(options, network.config.segments),
        background=tuple(options.background),
        source=(("file", options.checkpoint.name), ("sha256", checkpoint.sha256(options.checkpoint))),
        precisions=tuple(p for p in PRECISIONS if p in options.precisions),
    )
    with stepped(steps(recipe.precisions)) as step:
        manifest = convert(network, recipe, options.out, step)
    _print_golden_errors(options.out, manifest)
    return 0


def _parity(options: argparse.Namespace) -> int:
    from edge_tdn_export.convert.convert import runs_here
    from edge_tdn_export.convert.model_folder import write_at_once
    from edge_tdn_export.parity.compare import compare, record, steps
    from edge_tdn_export.parity.report import table, to_html, to_json

    model = open_model(find_model(options.model, Path.cwd()))
    out = options.out or model.folder
    if not out.is_dir() or not os.access(out, os.W_OK):
        raise ModelError(f"{out}: no folder that can be written to; name one for the reports with --out")
    wanted = options.precision or [name for name in model.manifest.precisions if runs_here(name)]
    if not wanted:
        raise ModelError(
            f"{model.folder}: has only {', '.join(model.manifest.precisions)}, and nothing here runs these"
        )
    for name in wanted:
        model.build(name)
    source = options.clips or demo_clip()
    with stepped(len(find_videos(source))) as step:
        clips = read_clips(source, model.manifest.input, step)
    with stepped(steps(clips, model, wanted)) as step:
        report = compare(model, wanted, clips, str(options.clips or "the demo clip"), step, options.most_clips)
    if not options.out:
        record(model, report)
    write_at_once(out / "parity.json", to_json(report).encode())
    write_at_once(out / "parity.html", to_html(report).encode())
    _console().print(table(report))
    print(f"written: {out / 'parity.html'}, {out / 'parity.json'}{'' if options.out else ', and the manifest'}")
    return 0 if all(comparison.proven for comparison in report.comparisons) else 1


def _quantize(options: argparse.Namespace) -> int:
    from edge_tdn_export.quantize.quantize import parse_limits, quantize
    from edge_tdn_export.quantize.report import table

    limits = parse_limits(options.limit)
    with bar() as progress:
        task = progress.add_task("")
        step = lambda what, done, total: progress.update(task, description=what, completed=done + 1, total=total)  # noqa: E731
        report = quantize(options.model, options.clips, limits, options.samples, options.replace, options.quick, step)
    _console().print(table(report))
    print(f"{options.model}: int8, {report.golden_error:.1g} of the largest logit from PyTorch on the golden clip")
    return 0


def _explain(options: argparse.Namespace) -> int:
    from edge_tdn_export.convert.model_folder import write_at_once
    from edge_tdn_export.explain.report import check_writable, draw, table

    check_writable(options.out)
    subject = _subject(options)
    baseline = [open_baseline(options.baseline, subject)] if options.baseline else []
    label = subject.label(options.label) if options.label is not None else None
    video = demo_clip() if options.clip == DEMO else Path(options.clip)
    if video.is_dir():
        raise SourceError(f"{video}: a folder; a video file is wanted")
    with bar() as progress:
        task = progress.add_task("looking for the clip", total=length_s(video))
        step = lambda seconds: progress.update(task, completed=seconds)  # noqa: E731
        if options.at is None:
            segments = best_clip(subject, video, label, step)
        else:
            segments = clip_at(video, subject.spec, options.at, step)
    label, views = look_at(segments, [*baseline, subject], label)
    write_at_once(options.out, draw(video.name, label, segments, views))
    _console().print(table(label, views))
    print(f"written: {options.out}")
    return 0


def _subject(options: argparse.Namespace) -> Subject:
    """Of a model folder, or of a checkpoint with what the command line says about it."""
    path = Path(options.model)
    said = [name for name in (*_network(options), *INPUT, "labels") if getattr(options, name) is not None]
    if path.is_file():
        network = checkpoint.load(path, **_network(options))
        return subject_of(path, network, _input(options, network.config.segments), options.labels)
    if said:
        option = f"--{'no-' if getattr(options, said[0]) is False else ''}{said[0].replace('_', '-')}"
        raise ConfigError(f"{option}: is for a checkpoint; {path} is a model folder, and its manifest says it")
    return open_subject(options.model)


def _inspect(options: argparse.Namespace) -> int:
    from edge_tdn_export.inspection import inspect, page

    found = inspect(open_model(find_model(options.model, Path.cwd())))
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _console().print(page(found))
    return 0


def _ensemble(options: argparse.Namespace) -> int:
    from edge_tdn_export.convert.ensemble import ensemble, steps

    name = options.id or options.out.name
    with stepped(steps(options.models)) as step:
        manifest = ensemble(options.models, options.out, id=name, segment_stride=options.segment_stride, step=step)
    _print_golden_errors(options.out, manifest)
    return 0


def _print_golden_errors(out: Path, manifest: Manifest) -> None:
    for name, build in manifest.precisions.items():
        error = build.golden_error
        said = (
            "not tried: nothing here computes in it"
            if error is None
            else f"{error:.1g} of the largest logit from PyTorch"
        )
        print(f"{out}: {name}, {said} on the golden clip")


def _console() -> Console:
    """For tables: as wide as the terminal; in a pipe wide enough that they need not fold. Texts stay as they are."""
    return Console(width=None if sys.stdout.isatty() else 100, markup=False, highlight=False)


def _network(options: argparse.Namespace) -> dict[str, Any]:
    """What was said on the command line about the network, and nothing else."""
    given = {field.name: getattr(options, field.name, None) for field in fields(TDNConfig)}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v is not None}


def _input(options: argparse.Namespace, segments: int) -> InputSpec:
    return input_of(segments, **{name: getattr(options, name) for name in INPUT})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-tdn-export",
        description="Turns PyTorch weights of a TDN into a model folder for edge-tdn, and proves it equal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    convert = commands.add_parser("convert", help="checkpoint -> model folder", epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    convert.set_defaults(command=_convert)
    convert.add_argument("checkpoint", type=Path, help="published .pth.tar, bare state_dict, or .safetensors")
    convert.add_argument("out", type=Path, help="folder to make; must not exist")
    convert.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=DEFAULT_PRECISIONS, metavar="P",
                         help=f"what to write, of {', '.join(PRECISIONS)} (default: {' '.join(DEFAULT_PRECISIONS)}; "
                         "int8: see quantize)")  # fmt: skip
    _add_network_options(convert)
    convert.add_argument("--labels", type=Path, required=True, help="one label a line, UTF-8, in the logits' order")
    convert.add_argument(
        "--background", nargs="*", default=[], metavar="LABEL", help="labels that never start an action"
    )
    convert.add_argument("--id", default="", help="the model's name in events (default: the folder's)")
    _add_input_options(convert)
    parity = commands.add_parser(
        "parity", help="is a model folder equal to PyTorch? table, parity.json, parity.html, verdict",
        epilog=PARITY_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parity.set_defaults(command=_parity)
    parity.add_argument("model", help="a model folder, or the name of a shipped model")
    parity.add_argument("--clips", type=Path, metavar="DIR", help="videos to compare on (default: the demo clip)")
    parity.add_argument("--precision", nargs="+", metavar="P", help="which to compare (default: all that run here)")
    parity.add_argument("--most-clips", type=int, default=200, metavar="N",
                        help="of longer recordings, clips further apart (default: 200)")  # fmt: skip
    parity.add_argument("--out", type=Path, metavar="DIR",
                        help="write the reports there and leave the folder and its manifest as they are")  # fmt: skip

    inspect = commands.add_parser("inspect", help="what is in a model folder, what it costs, what is proven")
    inspect.set_defaults(command=_inspect)
    inspect.add_argument("model", help="a model folder, or the name of a shipped model")
    inspect.add_argument("--json", action="store_true", help="for programs")
    _add_ensemble(commands)
    _add_quantize(commands)
    _add_explain(commands)
    return parser


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain", help="where a model sees an action: Grad-CAM and D(X) of one clip, as a PNG", epilog=EXPLAIN_EPILOG,
        usage="edge-tdn-export explain MODEL CLIP --out PNG [--at SECONDS] [--label LABEL] [--baseline MODEL2] ...",
        description="Draws where a network sees an action (Grad-CAM), and the differences that its S-TDM is given.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    explain.set_defaults(command=_explain)
    explain.add_argument("model", metavar="MODEL", help="a model folder, the name of a shipped model, or a checkpoint")
    explain.add_argument("clip", metavar="CLIP", help=f"a video file, or {DEMO} for the project's own")
    explain.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture to write")
    explain.add_argument("--at", type=float, metavar="SECONDS",
                         help="the clip around this moment (default: the clip with the highest score, of --label or of "
                         "any label but the background's)")  # fmt: skip
    explain.add_argument("--label", help="what to explain (default: the label that the model gives the clip)")
    explain.add_argument("--baseline", metavar="MODEL2",
                         help="another network beside it: same labels, same T, same size and frame rate; a checkpoint "
                         "takes them from MODEL")  # fmt: skip
    described = explain.add_argument_group("where MODEL is a checkpoint")
    described.add_argument("--labels", type=Path, help="one label a line, UTF-8 (default: labels.txt beside it)")
    _add_input_options(described)
    _add_network_options(explain)


def _add_quantize(commands: Any) -> None:
    quantize = commands.add_parser(
        "quantize", help="adds INT8 to a model folder, calibrated on your videos", epilog=QUANTIZE_EPILOG,
        description="Adds precision int8 to a model folder: calibrated on half of the clips, measured on the others.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    quantize.set_defaults(command=_quantize)
    quantize.add_argument("model", type=Path, metavar="MODEL", help="a model folder with precision fp32")
    quantize.add_argument("--clips", type=Path, required=True, metavar="DIR",
                          help="videos like those that the cameras will give; two at least are best")  # fmt: skip
    quantize.add_argument("--limit", action="append", default=[], metavar="KEY=VALUE",
                          help="top1: agreement with FP32, 0 to 1 (default: 0.99); kl: mean Kullback-Leibler "
                          "divergence from FP32, nats (default: 0.01)")  # fmt: skip
    quantize.add_argument("--samples", type=int, default=128, metavar="N",
                          help="clips to take, of both halves together (default: 128)")  # fmt: skip
    quantize.add_argument(
        "--quick", action="store_true", help="do not try every operator where everything in INT8 keeps the limits"
    )
    quantize.add_argument("--replace", action="store_true", help="make int8 anew where the folder has it")


def _add_ensemble(commands: Any) -> None:
    ensemble = commands.add_parser(
        "ensemble", help="model folders -> one, whose networks' logits are added", epilog=ENSEMBLE_EPILOG,
        description="Several model folders -> one, whose networks look at the same stream and whose logits are added.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    ensemble.set_defaults(command=_ensemble)
    ensemble.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL",
        help="at least two folders of one network each: same labels, same size, same frame rate",
    )  # fmt: skip
    ensemble.add_argument("out", type=Path, metavar="OUT", help="folder to make; must not exist")
    ensemble.add_argument("--id", default="", help="the model's name in events (default: the folder's)")
    ensemble.add_argument(
        "--segment-stride", type=int, default=0, metavar="N",
        help="frames from one segment to the next, of the network with the fewest segments; that of the others "
        "follows: half for twice the segments (default: the folders' own, where their clips span the same time)",
    )  # fmt: skip


def _add_input_options(options: Any) -> None:
    """Defaults are the published ones."""
    options.add_argument("--size", type=int, help="height and width of the network's input (default: 224)")
    options.add_argument(
        "--resize", choices=("short_side_centre_crop", "stretch"),
        help="how a picture gets that size (default: short_side_centre_crop, as published)",
    )  # fmt: skip
    options.add_argument("--short-side", type=int, help="before the crop (default: size * 256 / 224)")
    options.add_argument("--frame-rate", type=float,
                         help="frames a second of the training videos (default: 12, Something-Something)")  # fmt: skip
    options.add_argument("--segment-stride", type=int,
                         help="frames from one segment to the next (default: 5: a clip of 8 spans 3.3 s)")  # fmt: skip


def _add_network_options(command: argparse.ArgumentParser) -> None:
    """Defaults are TDNConfig's, or what our own .safetensors say of themselves."""
    network = command.add_argument_group("the network, where the checkpoint does not say it itself")
    network.add_argument("--arch", choices=tuple(DEPTHS), help="(default: resnet50)")
    network.add_argument(
        "--segments",
        type=int,
        choices=(8, 16),
        metavar="T",
        help="segments a clip, 8 or 16: needed where the checkpoint does not say it",
    )
    network.add_argument("--width", type=float, help="channels relative to the named ResNet (default: 1)")
    paper = command.add_argument_group(
        "the paper's ablations (the published weights need none of these)",
        "TSN: --stdm-stages --ltdm-stages --temporal-conv-stages, all three empty; T-Conv: the first two",
    )
    paper.add_argument("--stdm-stages", type=int, nargs="*", metavar="1..5", help="fused after these (default: 1 2)")
    paper.add_argument("--stdm-fusion", choices=FUSIONS, help="(default: weighted, as published; add is equation 1)")
    paper.add_argument("--ltdm-stages", type=int, nargs="*", metavar="2..5", help="stages with L-TDM (default: 3 4 5)")
    for name, what in (
        ("multiscale", "one scale instead of three"),
        ("bidirectional", "the difference to the next segment alone"),
        ("attention", "the motion feature is added, and gates nothing"),
    ):
        paper.add_argument(
            f"--no-ltdm-{name}", dest=f"ltdm_{name}", action="store_const", const=False, help=f"L-TDM: {what}"
        )
    paper.add_argument(
        "--temporal-conv-stages", type=int, nargs="*", metavar="2..5", help="stages with it (default: 3 4 5)"
    )
    paper.add_argument("--upsample", choices=UPSAMPLINGS, help="(default: nearest, as published; the paper: bilinear)")


if __name__ == "__main__":
    sys.exit(main())
