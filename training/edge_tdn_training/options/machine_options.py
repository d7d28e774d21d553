"""The options that choose the device, the micro-batch, the worker processes and the folder of decoded videos."""

import argparse
from pathlib import Path

from edge_tdn_training.machine import DEVICES, default_cache, default_workers

STOPPED = "stopped; run the same command again to resume after the last whole epoch"  # printed by commands that train


def add_cache_option(parser: argparse._ActionsContainer, about: str = "folder of decoded videos") -> None:
    """Add --cache. `about`: the beginning of its help."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=default_cache(),
        help=f"{about} (default: ~/.cache/edge-tdn/frames)",
    )


def add_machine_options(
    parser: argparse._ActionsContainer, micro_batch: str, default_micro_batch: int = 0, workers: int | None = None
) -> None:
    """Add --device, --micro-batch and --workers. `micro_batch`: the end of the help of --micro-batch.

    `workers`: the default; None: `default_workers()`.
    """
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="device for training (default: auto, a GPU if there is one)"
    )
    parser.add_argument(
        "--micro-batch",
        type=int,
        default=default_micro_batch,
        metavar="N",
        help=f"micro-batch: clips that a process computes at a time; {micro_batch}",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=default_workers() if workers is None else workers,
        metavar="N",
        help="processes that make clips, for each process that trains; 0: none (default: "
        f"{'as many as use half of the cores' if workers is None else workers})",
    )
