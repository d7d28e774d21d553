"""Reports of `edge-tdn-export explain`: an image, and a table for the terminal.

The image is the paper's figures 3 to 6, transposed: one column per segment with its centre frame, the heat of each
model over that frame, and D(X), the four differences that the S-TDM reads.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from edge_tdn.errors import ConfigError
from edge_tdn.messages import CENTRE, NS_PER_S, Segment
from edge_tdn.output import check_output_file
from edge_tdn.replay.plot import png
from edge_tdn_export.explain.gradcam import ModelView
from edge_tdn_export.lists.text import without_controls
from edge_tdn_export.network.config import TDNConfig

TOP = 5  # labels of the table
COLUMN, NARROW, MAX_WIDE_COLUMNS = 1.6, 1.0, 8  # inches per segment; NARROW for more than MAX_WIDE_COLUMNS segments
LEFT, RIGHT, ABOVE, BELOW, BETWEEN = 1.9, 0.95, 0.85, 0.1, 0.1  # inches around and between the rows
DPI = 150  # pixels per inch
TITLE_WIDTH, MAX_TITLE_LABEL = 24, 40  # characters in a line of a row's title, in a label in it
GAP = 0.04  # between two frames, relative to their width
HEAT, OPACITY = colormaps["inferno"], 0.65  # of the heat over the frame
BRIGHTEST = 0.999  # quantile of D(X) with the brightest colour, so that single pixels do not darken the others


def check_writable(out: Path) -> None:
    """Check that a PNG can be written there. ConfigError: it cannot."""
    if out.suffix.lower() != ".png":
        raise ConfigError(f"{out}: the output is a PNG; choose a name that ends in .png")
    check_output_file(out)


def draw(video: str, label: int, segments: Sequence[Segment], views: Sequence[ModelView]) -> bytes:
    """Return a PNG of one clip. `views`: those of all models, the explained one last."""
    frames = np.stack([segment.frames[CENTRE] for segment in segments])  # [T, H, W, 3]
    motion = next((view.motion for view in reversed(views) if view.motion is not None), None)
    figure, rows = _grid(frames, 1 + len(views) + (motion is not None))
    _title(figure, label, video, segments, views)
    _row(rows[0], frames, "centre frames", "bilinear")
    _times(rows[0], segments)
    for axes, view in zip(rows[1:], views, strict=False):
        _row(axes, _heated(frames, view.heat), _row_title(view, label), "bilinear")
    _scale(figure, rows[1 : 1 + len(views)], ScalarMappable(Normalize(0, 1), HEAT), "relative heat")
    if motion is not None:
        reach = float(np.quantile(np.abs(motion), BRIGHTEST)) or 1.0
        _row(rows[-1], _tiled(0.5 + motion / (2 * reach)), "D(X)\nx2 - x1 | x3 - x2\nx4 - x3 | x5 - x4", "nearest")
        _scale(figure, rows[-1:], ScalarMappable(Normalize(-reach, reach), colormaps["gray"]), "D(X), normalised")
    return png(figure)


def table(label: int, views: Sequence[ModelView]) -> Table:
    """Return the labels with the highest scores, and the rank of the explained one if it is not among them."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    shown.add_column("")
    for view in views:
        shown.add_column(Text(without_controls(view.model.name)), overflow="fold")
        shown.add_column("score", justify="right")
    orders = [list(np.argsort(-view.scores, kind="stable")) for view in views]
    for rank in range(min(TOP, len(views[0].scores))):
        shown.add_row(str(rank + 1), *_cells(views, [order[rank] for order in orders], label))
    if any(order.index(label) >= TOP for order in orders):
        ranks = " / ".join(str(order.index(label) + 1) for order in orders)
        shown.add_row(ranks, *_cells(views, [label] * len(views), label))
    return shown


def kind(config: TDNConfig) -> str:
    """Return the paper's name of this network (tables 1c and 1d)."""
    match bool(config.stdm_stages), bool(config.ltdm_stages):
        case True, True:
            return "TDN"
        case True, False:
            return "S-TDM"
        case False, True:
            return "L-TDM"
    if not config.temporal_conv_stages:
        return "TSN"
    return "T-Conv" if config.temporal == "conv" else "TSM"


def _cells(views: Sequence[ModelView], places: Sequence[int], label: int) -> list[Text]:
    cells = []
    for view, place in zip(views, places, strict=True):
        style = "bold" if place == label else ""
        cells += [
            Text(without_controls(view.model.labels[place]), style),
            Text(f"{view.scores[place]:.4f}", style),
        ]
    return cells


def _title(figure: Figure, label: int, video: str, segments: Sequence[Segment], views: Sequence[ModelView]) -> None:
    scores = ", ".join(f"{view.model.name} {view.scores[label]:.3f}" for view in reversed(views))
    from_s, to_s = (ns / NS_PER_S for ns in (segments[0].from_ns, segments[-1].to_ns))
    inch = 1 / figure.get_figheight()
    first, second = f"{views[-1].model.labels[label]}: {scores}", f"{video}, {from_s:.2f} to {to_s:.2f} s"
    for down, size, text in ((0.1, 15, first), (0.42, 10, second)):
        figure.text(0.01, 1 - down * inch, without_controls(text), fontsize=size, va="top", parse_math=False)


def _row_title(view: ModelView, label: int) -> str:
    """Return the title of a model's row."""
    config, top = view.model.network.config, int(view.scores.argmax())
    lines = [
        view.model.name,
        f"{kind(config)} {config.arch}, res{view.stage}",
        f"score {view.scores[label]:.3f}",
    ]
    if top != label:
        lines.append(f"top-1 {textwrap.shorten(view.model.labels[top], MAX_TITLE_LABEL)} {view.scores[top]:.3f}")
    if not view.heat.any():
        lines.append("no location raises it")
    return "\n".join(textwrap.fill(without_controls(line), TITLE_WIDTH) for line in lines)


def _grid(frames: NDArray[np.uint8], count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure and its rows, each of the size of the frames side by side."""
    segments, height, width = frames.shape[:3]
    across = segments * (COLUMN if segments <= MAX_WIDE_COLUMNS else NARROW)
    down = across * height / (segments * width + (segments - 1) * _gap(width))
    size = LEFT + across + RIGHT, ABOVE + count * (down + BETWEEN) + BELOW
    figure = Figure(size, dpi=DPI)
    bottoms = [size[1] - ABOVE - down - n * (down + BETWEEN) for n in range(count)]
    boxes = [(LEFT / size[0], bottom / size[1], across / size[0], down / size[1]) for bottom in bottoms]
    return figure, [figure.add_axes(box) for box in boxes]


def _row(axes: Axes, frames: NDArray[np.generic], title: str, interpolation: str) -> None:
    """Draw RGB frames [T, H, W, 3], uint8 or float from 0 to 1, side by side."""
    white = 255 if frames.dtype == np.uint8 else 1
    gap = np.full_like(frames[0][:, : _gap(frames.shape[2])], white)
    strip = np.concatenate([part for frame in frames for part in (gap, frame)][1:], 1)
    axes.imshow(strip, interpolation=interpolation, aspect="auto")
    axes.set_axis_off()
    beside: dict[str, Any] = {"xytext": (-5, 0), "xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(title, (0, 0.5), **beside, ha="right", va="center", fontsize=9, parse_math=False)


def _times(axes: Axes, segments: Sequence[Segment]) -> None:
    """Write the time of each centre frame above it."""
    for n, segment in enumerate(segments):
        seconds = (segment.from_ns + segment.to_ns) / 2 / NS_PER_S
        where = ((n + 0.5) / len(segments), 1.02)
        axes.text(*where, f"{seconds:.2f} s", ha="center", va="bottom", fontsize=8, transform=axes.transAxes)


def _scale(figure: Figure, rows: Sequence[Axes], colours: ScalarMappable, title: str) -> None:
    """Draw a colour scale to the right of its rows."""
    top, bottom = rows[0].get_position(), rows[-1].get_position()
    inch = 1 / figure.get_figwidth()
    bar = figure.add_axes((top.x1 + 0.12 * inch, bottom.y0, 0.14 * inch, top.y1 - bottom.y0))
    figure.colorbar(colours, cax=bar).set_label(title, fontsize=8)
    bar.tick_params(labelsize=7)


def _heated(frames: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.float64]:
    """Blend heat [T, H, W] over the grey frames: [T, H, W, 3], 0 to 1."""
    grey = frames.mean(-1, keepdims=True) / 255
    colours = HEAT(heat / (heat.max() or 1.0))[..., :3]
    blended: NDArray[np.float64] = (1 - OPACITY) * grey + OPACITY * colours
    return blended


def _tiled(motion: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tile D(X) [T, 4, 3, h, w], 0 to 1, in two rows and columns with lines between: [T, 2*h + 1, 2*w + 1, 3]."""
    tiles = np.pad(motion.clip(0, 1), [(0, 0)] * 3 + [(0, 1)] * 2, constant_values=1)
    tiles = np.moveaxis(tiles, 2, -1)  # [T, 4, h, w, 3]
    above, below = (np.concatenate([tiles[:, n], tiles[:, n + 1]], 2) for n in (0, 2))
    return np.concatenate([above, below], 1)[:, :-1, :-1]


def _gap(width: int) -> int:
    """Return the number of pixels between two frames of this width."""
    return max(1, round(GAP * width))
