"""`edge-tdn-train ablation`: the paper's claims in small: networks with and without its parts, taught alike.

1 learning   loop/trainer.py, a run folder for each network and seed: of one seed all see the same generated clips, in
             the same order, at the same rate
2 judging    all of them on the same held-out clips, in turn, in OpenVINO: accuracy and time

S-TDM and L-TDM stand on what the paper compares them with: T-Conv, which is TSN with temporal convolutions.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.inspection import macs
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ConfigError
from edge_tdn.manifest import WEIGHTS, InputSpec
from edge_tdn_training.commands.ablation_report import FULL, Result, markdown, picture, said, table, to_json
from edge_tdn_training.commands.evaluate_motion import generated_clips
from edge_tdn_training.commands.train_motion import NETWORK, OF_A_SEED, SEEDS, one_cycle
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.whole_network import Compiled, compile_whole
from edge_tdn_training.loop.distributed import DEVICES, Place, join, workers
from edge_tdn_training.loop.initial_weights import begin
from edge_tdn_training.loop.trainer import Task, learn
from edge_tdn_training.progress import counted
from edge_tdn_training.synthetic.clips import SPEC
from edge_tdn_training.synthetic.dataset import Generated

EPOCH = 1000  # drawings, about: a killed run goes on from there
VIEWS = 4  # of a drawing; backwards, too: what a thing looks like then says nothing of where it goes
BATCH, RATE = 32, 0.4  # as the shipped model's
WIDEST = 110  # columns that the table may take, in a narrower terminal too: rather in two lines than cut off
RESULTS, PICTURE = "ablation.json", "ablation.png"

EPILOG = """TSN, T-Conv, S-TDM, L-TDM, TDN, as in tables 1c and 1d (half an hour on 2 cores):
  edge-tdn-train ablation --out runs/ablation

how short-term differences are fused in, and what the long-term module is made of, with three seeds:
  edge-tdn-train ablation --out runs/ablation --tables 1a 1b --seeds 3

stopped, killed, or out of power? The same command goes on; at most 1000 drawings are lost. More tables or seeds later
train what is new, and nothing twice.

exit status: 0 done; 71 no memory; 78 options wrong, or the folder is of other ones; 130 stopped
"""


@dataclass(frozen=True)
class Variant:
    """A row of the paper's tables. What it differs in from TDN, as published."""

    name: str
    network: dict[str, Any] = field(default_factory=dict)  # of TDNConfig
    paper: float | None = None  # top-1 on Something-Something V1 in per cent: ResNet-50, T = 8, one clip

    @property
    def folder(self) -> str:
        return self.name.lower().replace(" ", "-")


TSN = Variant("TSN", {"stdm_stages": (), "ltdm_stages": (), "temporal_conv_stages": ()})
T_CONV = Variant("T-Conv", {"stdm_stages": (), "ltdm_stages": ()})
S_TDM = Variant("S-TDM", {"ltdm_stages": ()})
L_TDM = Variant("L-TDM", {"stdm_stages": ()})
FULL_TDN = Variant(FULL, paper=52.3)
TABLES = {
    "1a": (
        FULL_TDN,
        Variant("TDN added", {"stdm_fusion": "add"}),
        Variant("TDN attended", {"stdm_fusion": "attention"}),
    ),
    "1b": (
        FULL_TDN,
        Variant("TDN one way", {"ltdm_bidirectional": False}),
        Variant("TDN one scale", {"ltdm_multiscale": False}),
        Variant("TDN no gates", {"ltdm_attention": False}),
    ),
    "1c": (T_CONV, S_TDM, L_TDM, FULL_TDN),
    "1d": (TSN, T_CONV, FULL_TDN),
}
ORDER = (TSN, T_CONV, S_TDM, L_TDM, FULL_TDN)  # then the variants of TDN


def add_parser(commands: Any) -> None:
    """Adds the subcommand `ablation`."""
    parser = commands.add_parser(
        "ablation", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.set_defaults(command=run, stopped="stopped; the same command goes on after the last whole epoch")
    parser.add_argument("--out", type=Path, required=True, help=f"a run's folder for each network, {RESULTS}, {PICTURE}"
                        )  # fmt: skip
    parser.add_argument("--tables", nargs="+", choices=tuple(TABLES), default=["1c", "1d"], metavar="TABLE",
                        help="1a: fusion of the S-TDM; 1b: directions, scales, gates of the L-TDM; 1c: S-TDM, L-TDM, "
                        "both; 1d: TSN, T-Conv, TDN (default: 1c 1d)")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1, metavar="N",
                        help="each network is taught so often, from other weights on other clips (default: 1)"
                        )  # fmt: skip
    parser.add_argument("--drawings", type=int, default=4000, metavar="N",
                        help=f"to learn from, each in {VIEWS} views: as it is, in a mirror, both backwards (default: "
                        "%(default)s)")  # fmt: skip
    parser.add_argument("--held-out", type=int, default=1000, metavar="N", help="clips to judge by (default: 1000)")
    parser.add_argument("--size", type=int, default=64, help="height and width of the pictures (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="that learns (default: auto)")
    parser.add_argument("--at-once", type=int, default=0, metavar="N", help="clips that a process computes at a time, "
                        "of which batch norms take the statistics: leave it the same for all networks (default: its "
                        f"share of a step of {BATCH})")  # fmt: skip
    parser.add_argument("--workers", type=int, default=workers(), metavar="N",
                        help="processes that draw, for each that learns (default: %(default)s)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Teaches what is not taught yet, judges all; exit status 0. EdgeTdnError: options or a folder do not do."""
    _check(options)
    variants = chosen(options.tables)
    spec = SPEC.model_copy(update={"height": options.size, "width": options.size})
    jobs = [(variant, seed) for seed in range(1, options.seeds + 1) for variant in variants]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses what no TDN has
    with join(options.device) as place, counted(shown=place.first) as bars:
        whole = bars.add_task("networks", total=len(jobs))
        for variant, seed in jobs:
            bars.update(whole, description=f"networks: {variant.name}, seed {seed}")
            _teach(variant, seed, spec, options, place, bars)
            bars.advance(whole)
        if not place.first:
            return 0
        networks = [checkpoint.load(_folder(options.out, *job) / WEIGHTS).eval() for job in jobs]
        compiled = [compile_whole(network, spec) for network in bars.track(networks, description="compiling")]
        judged = judge(compiled, spec, options.held_out, bars)
    results = [
        Result(
            variant.name, variant.network, variant.paper, *_cost(networks[number], spec),
            tuple(accuracy for accuracy, _ in judged[number :: len(variants)]),
            np.stack([seconds for _, seconds in judged[number :: len(variants)]]),
        )
        for number, variant in enumerate(variants)
    ]  # fmt: skip
    how = {
        "input": spec.model_dump(mode="json"), "network": NETWORK, "drawings": options.drawings, "views": VIEWS,
        "seeds": options.seeds, "held_out": options.held_out,
    }  # fmt: skip
    write_at_once(options.out / RESULTS, to_json(results, how))
    title = f"{options.held_out} clips that nobody learnt from, after {options.drawings * VIEWS} that all did"
    write_at_once(options.out / PICTURE, picture(results, title))
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDEST)
    console.print(markdown(results) if options.markdown else table(results))
    for line in (*said(results), f"{options.out / RESULTS}, {PICTURE}: written"):
        console.print(line)
    return 0


def chosen(tables: Sequence[str]) -> list[Variant]:
    """The networks of these tables, each once, the least first."""
    every = [variant for name in sorted(TABLES) if name in tables for variant in TABLES[name]]
    listed = [variant for variant in ORDER if variant in every]
    return listed + [variant for variant in every if variant not in listed]


def _folder(out: Path, variant: Variant, seed: int) -> Path:
    return out / f"{variant.folder}-{seed}"


def _teach(
    variant: Variant, seed: int, spec: InputSpec, options: argparse.Namespace, place: Place, bars: Progress
) -> None:
    """One network's run. What is done already is not done again."""
    folder = _folder(options.out, variant, seed)
    epochs = max(1, round(options.drawings / EPOCH))
    course = one_cycle(epochs, place, RATE, BATCH, VIEWS, seed)
    start = begin("", MOTIONS, seed, **NETWORK, **variant.network)
    lessons = Generated(seed * OF_A_SEED, options.drawings // epochs)
    at_once = options.at_once or BATCH // place.world
    learn(Task(start, spec, lessons, None, course), folder, place, at_once, options.workers, bars=bars)


def _cost(network: TDN, spec: InputSpec) -> tuple[int, float]:
    """Parameters, and multiply-accumulates of a clip in 10^9."""
    encoder, head = macs(network, spec.height, spec.width)
    return sum(p.numel() for p in network.parameters()), (spec.segments * encoder + head) / 1e9


def judge(
    networks: Sequence[Compiled], spec: InputSpec, count: int, bars: Progress
) -> list[tuple[Accuracy, NDArray[np.float64]]]:
    """For each what it says of the first `count` held-out clips, and how many seconds it took for each, [count].

    Clip after clip all of them, in an order that changes: whatever else runs here slows all alike.
    """
    rng = np.random.default_rng(0)
    logits = np.empty((len(networks), count, len(MOTIONS)), np.float32)
    seconds = np.empty((len(networks), count))
    truth = np.empty(count, np.int64)
    clips = bars.track(generated_clips(spec, count), count, description="judging")
    for number, (_, frames, truth[number]) in enumerate(clips):
        for one in rng.permutation(len(networks)):
            began = time.perf_counter()
            logits[one, number] = networks[one](frames)
            seconds[one, number] = time.perf_counter() - began
    return [(Accuracy(MOTIONS, own, truth), took) for own, took in zip(logits, seconds, strict=True)]


def _check(options: argparse.Namespace) -> None:
    """What is known to be wrong before anything takes time."""
    for name, least, most in (
        ("seeds", 1, SEEDS - 1), ("drawings", BATCH // VIEWS, OF_A_SEED), ("held_out", 2, OF_A_SEED),
        ("size", 32, 1024), ("at_once", 0, BATCH), ("workers", 0, 1000),
    ):  # fmt: skip
        value = getattr(options, name)
        if not least <= value <= most:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be from {least} to {most}")
