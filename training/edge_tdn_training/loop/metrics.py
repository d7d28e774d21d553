"""The metrics of a training: loss, accuracy and speed of each epoch, and their picture."""

import io
from collections.abc import Sequence
from itertools import pairwise

from matplotlib import rc_context
from matplotlib.figure import Figure

Metrics = dict[str, float]  # of one epoch: a line of metrics.jsonl

SIZE_IN, DPI = (9, 3.4), 130
MAX_MARKED_EPOCHS = 30  # a training of fewer epochs has a mark for each


def curves(metrics: Sequence[Metrics]) -> bytes:
    """Return a PNG of loss and accuracy over the epochs. Dashed: where the learning rate falls by more than half."""
    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(SIZE_IN)
        figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.96, wspace=0.2)
        epochs = [epoch["epoch"] for epoch in metrics]
        style = "o-" if len(metrics) < MAX_MARKED_EPOCHS else "-"
        for axes, key, name in zip(figure.subplots(1, 2), ("loss", "top1"), ("loss, nats", "top-1"), strict=True):
            for prefix, label in (("", "training"), ("held_out_", "held out")):
                own = [(e, m[prefix + key]) for e, m in zip(epochs, metrics, strict=True) if prefix + key in m]
                if own:
                    axes.plot(*zip(*own, strict=True), style, ms=3, label=label)
            for before, after in pairwise(metrics):
                if after["rate"] < before["rate"] / 2:
                    axes.axvline(after["epoch"] - 0.5, color="0.8", lw=0.9, ls="--", zorder=0)
            axes.set(xlabel="epoch", ylabel=name)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False, loc="upper right" if key == "loss" else "lower right")
            axes.set_ylim(0, 1 if key == "top1" else None)
        figure.savefig(file := io.BytesIO(), format="png", dpi=DPI)
    return file.getvalue()
