"""`edge-tdn bench`: measure which precision, device and number of threads are fastest on this host."""

import argparse
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_tdn.cli.options import Commands, add_command, device, seconds
from edge_tdn.help.command_help import CommandHelp, Example

HELP = CommandHelp(
    description="""\
Measure, in about a minute, which precision, device and number of threads are fastest on this host, and how many
cameras it can serve. Use it before you choose hardware or a model. The lines to put into the configuration are printed
at the end.

It times a hop: encoding 1, 2 or 4 new segments and classifying the clip, in each precision of the model, on each
device, with one, half and all threads. Stop other work first, including running cameras. The best is the fastest of
those that `edge-tdn-export parity` has found equal to PyTorch or within limits. If the network uses all cores, none is
left for decoding: prefer fewer threads if they are almost as fast.
""",
    examples=(
        Example("measure the model that comes with the package", "edge-tdn bench"),
        Example("measure yours, a folder that edge-tdn-export wrote", "edge-tdn bench --model models/ssv2"),
        Example(
            "measure one precision for 20 seconds, and keep the figures",
            "edge-tdn bench --precision int8 --device CPU --seconds 20 --json bench.json",
        ),
    ),
    exit_status={0: "measured", 1: "", 78: ""},
)


def add_parser(commands: Commands) -> None:
    summary = "measure the fastest precision, device and threads"
    parser = add_command(commands, "bench", run, logging.ERROR, summary, HELP)
    parser.add_argument("--model", default="motion", help="a model folder or a shipped model (default: motion)")
    parser.add_argument("--seconds", type=seconds, default=60.0, help="approximate duration, seconds (default: 60)")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=[],
        choices=("fp32", "fp16", "bf16", "int8"),
        metavar="P",
        help="fp32 fp16 bf16 int8 (default: all of the model folder)",
    )
    parser.add_argument(
        "--device",
        nargs="+",
        type=device,
        default=[],
        metavar="D",
        help="CPU GPU NPU CUDA (default: all devices that work)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions and measurements to a file")


def run(options: argparse.Namespace) -> int:
    from edge_tdn.cli.bench_report import bench_report, this_machine
    from edge_tdn.cli.bench_table import TABLE_WIDTH, print_results
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.hop_timing import measure_candidates
    from edge_tdn.manifest import find_model, open_model
    from edge_tdn.output import check_output_file, write_output

    if options.json:
        check_output_file(options.json)
    model = open_model(find_model(options.model, Path.cwd()))
    machine = this_machine()
    with TemporaryDirectory() as cache:  # the daemon's cache is limited, and would be filled by this
        found = measure_candidates(model, options.seconds, options.precision, options.device, Path(cache))
    console = plain_console(width=TABLE_WIDTH, soft_wrap=True)
    measured = print_results(console, model, found)
    if machine.busy:
        console.print(
            f"\nThe host was busy (load {machine.load:g}, {machine.cores} cores): it is faster than this; stop other "
            f"work and measure again"
        )
    if options.json:
        content = bench_report(machine, model, measured).model_dump_json(by_alias=True, indent=1) + "\n"
        write_output(options.json, content.encode())
    return 0
