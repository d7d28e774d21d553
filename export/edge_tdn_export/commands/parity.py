"""edge-tdn-export parity: compare a model folder with PyTorch."""

import argparse
from pathlib import Path

from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.manifest import Model, find_model, open_model
from edge_tdn.output import check_output_folder
from edge_tdn.verdict import MIN_CLIPS, MIN_RECORDINGS, Verdict
from edge_tdn_export.commands.output import add_allow_few_clips, console, exit_status
from edge_tdn_export.progress import stepped
from edge_tdn_export.video_options import add_video_options, reading

HELP = CommandHelp(
    description="""\
Compare a model folder with full-precision PyTorch, and record a verdict on every precision. Use it after `convert` and
before a model goes to a host, with videos like those of your cameras: a precision without a verdict serves, with a
warning.

It compares the live path's input with Pillow's, and every node of the graphs, features, logits, labels and events with
PyTorch, on clips cut from the videos. The figures are written into the manifest, where `edge-tdn check` finds them, and
into parity.json and parity.html.
""",
    examples=(
        Example("a folder, on your videos", "edge-tdn-export parity models/ssv2 --clips videos/"),
        Example(
            "two precisions, on at most 50 clips",
            "edge-tdn-export parity models/ssv2 --clips videos/ --precision fp32 int8 --max-clips 50",
        ),
        Example(
            "the shipped model, with the reports in a folder of their own",
            "edge-tdn-export parity motion --out reports --allow-few-clips",
        ),
    ),
    exit_status={
        0: f"every precision is {Verdict.EQUAL} or {Verdict.WITHIN}",
        1: "a precision is not, or there are too few clips",
        66: "",
        71: "",
        78: "model, videos or folder is wrong",
    },
    notes=f"""\
Limits:

  fp32, onnx   logits within 1e-4 of the largest, same top-1, same events
  fp16, bf16   logits within 2e-2, top-1 agreement at least 99 %
  int8         top-1 agreement at least 99 %, mean KL at most 0.01

The verdict is `{Verdict.EQUAL}` (fp32 and onnx), `{Verdict.WITHIN}` (the others), `{Verdict.OUTSIDE}`, or
`{Verdict.TOO_FEW}`: fewer than {MIN_CLIPS} clips or {MIN_RECORDINGS} recordings. Events may differ within limits; the
table counts the recordings in which they do.
""",
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "parity", run, "compare a model folder with PyTorch: table, report, verdict", HELP)
    parser.add_argument("model", help="a model folder, or the name of a shipped model")
    parser.add_argument(
        "--clips", type=Path, metavar="PATH", help="folder or list of videos to compare on (default: the demo clip)"
    )
    parser.add_argument(
        "--precision", nargs="+", metavar="P", help="precisions to compare (default: all that can run here)"
    )
    parser.add_argument(
        "--max-clips",
        type=int,
        default=200,
        metavar="N",
        help="compare up to N clips, evenly spaced if there are more (default: 200)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the reports, created if it does not exist; the model folder stays unchanged",
    )
    add_video_options(parser)
    add_allow_few_clips(parser)


def run(options: argparse.Namespace) -> int:
    from edge_tdn_export.clips import find, read_clips
    from edge_tdn_export.convert.model_folder import write_at_once
    from edge_tdn_export.parity.compare import compare, record, steps
    from edge_tdn_export.parity.report import table, to_html, to_json

    if options.max_clips < 1:
        raise ConfigError(f"--max-clips {options.max_clips}: must be at least 1")
    model = open_model(find_model(options.model, Path.cwd()))
    out = options.out or model.folder
    check_output_folder(out)
    precisions = _precisions(model, options.precision)
    source = options.clips or demo_clip()
    how = reading(options)
    with stepped(len(find(source, how).videos), "reading") as step:
        clips = read_clips(source, model.manifest.input, step, reading=how)
    if clips.note:
        print(clips.note)  # noqa: T201
    with stepped(steps(clips, model, precisions)) as step:
        report = compare(model, precisions, clips, str(options.clips or "the demo clip"), step, options.max_clips)
    if not options.out:
        record(model, report)
    write_at_once(out / "parity.json", to_json(report).encode())
    write_at_once(out / "parity.html", to_html(report).encode())
    console().print(table(report))
    also = "" if options.out else ", and the manifest"
    print(f"written: {out / 'parity.html'}, {out / 'parity.json'}{also}")  # noqa: T201
    return exit_status([comparison.claim for comparison in report.comparisons], options.allow_few_clips)


def _precisions(model: Model, requested: list[str] | None) -> list[str]:
    """Return the precisions to compare. ModelError: a requested one does not exist, or none runs here."""
    from edge_tdn_export.convert.convert import runs_here

    precisions = requested or [name for name in model.manifest.precisions if runs_here(name)]
    if not precisions:
        raise ModelError(
            f"{model.folder}: this machine cannot run any of its precisions: {', '.join(model.manifest.precisions)}"
        )
    for name in precisions:
        model.build(name)
    return precisions
