"""The options that choose the device, the micro-batch and the worker processes, of all commands that train."""

import argparse

from edge_tdn_training.machine import DEVICES, default_workers


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
