"""Describe a model folder for `edge-tdn-export inspect`: contents, cost per clip and hop, and parity."""

from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from edge_tdn.manifest import Model
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn.verdict import NOT_COMPARED, recorded_claim, recorded_comparison
from edge_tdn_export.convert.model_folder import size_of
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.reference import open_networks
from edge_tdn_export.network.tdn import TDN

MB = 1e6


def inspect(model: Model) -> dict[str, Any]:
    """Return all figures as plain data.

    GMAC (1e9 multiply-accumulates) are counted while the network runs, for convolutions and matrix products.
    """
    manifest = model.manifest
    spec = manifest.input
    networks = open_networks(model)
    clip = hop = 0.0
    parts = []
    for number, (network, member) in enumerate(zip(networks.members, manifest.members, strict=True)):
        encoder, head = macs(network, spec.height, spec.width)
        clip += network.config.segments * encoder + head
        hop += spec.per_segment[number] * encoder + head
        parts.append(
            {
                "network": network.config.as_dict(),
                "parameters": sum(p.numel() for p in network.parameters()),
                "segment_stride": spec.of(number).segment_stride,
                "source": member.source,
            }
        )
    return {
        "id": manifest.id,
        "folder": str(model.folder),
        "labels": list(model.labels),
        "background": list(manifest.background),
        "input": spec.model_dump(),
        "clip_s": spec.ticks / spec.frame_rate,
        "video_s": spec.needed_s(),
        "networks": parts,
        "gmac_per_clip": clip / 1e9,
        "gmac_per_hop": hop / 1e9,
        "precisions": {
            name: {
                "format": build.format,
                "bytes": size_of(model, build),
                "golden_error": build.golden_error,
                "parity": manifest.parity[name].model_dump() if name in manifest.parity else None,
                "verdict": claim.verdict if (claim := recorded_claim(model, name)) else NOT_COMPARED,
                "comparison": recorded_comparison(model, name),
            }
            for name, build in manifest.precisions.items()
        },
        "tools": manifest.tools,
    }


def macs(network: TDN, height: int, width: int) -> tuple[float, float]:
    """Return the multiply-accumulates of encoding one segment and of classifying one clip."""
    with torch.inference_mode():
        with FlopCounterMode(display=False) as encoding:
            features = network.encode(torch.zeros(1, FRAMES_PER_SEGMENT, 3, height, width))
        window = [feature.expand(network.config.segments, *feature.shape[1:]) for feature in features]
        with FlopCounterMode(display=False) as classifying:
            network.classify(*window)
    return encoding.get_total_flops() / 2, classifying.get_total_flops() / 2


def page(found: dict[str, Any]) -> RenderableType:
    """Return the figures of `inspect` for the terminal."""
    head = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    spec = found["input"]
    head.add_row("model", f"{found['id']}, {found['folder']}")
    for part in found["networks"]:
        options = part["network"]
        standard = TDNConfig().as_dict()
        shown = ("arch", "segments", "classes")
        others = [f"{k} = {v}" for k, v in options.items() if k not in shown and v != standard[k]]
        text = f"TDN {options['arch']}, T = {options['segments']}, {part['parameters'] / 1e6:.1f} M parameters"
        head.add_row("network", ", ".join([text, *others]))
        head.add_row("  from", ", ".join(f"{k} {v[:16]}" if k == "sha256" else v for k, v in part["source"].items()))
    head.add_row("cost", f"{found['gmac_per_clip']:.2f} GMAC per clip, {found['gmac_per_hop']:.2f} GMAC per hop")
    segments = " + ".join(str(part["network"]["segments"]) for part in found["networks"])
    strides = " and ".join(str(part["segment_stride"]) for part in found["networks"])
    head.add_row(
        "clip",
        f"{segments} segments of 5 frames, {strides} apart, at {spec['frame_rate']:g} fps: {found['clip_s']:.1f} s; "
        f"{spec['width']}x{spec['height']}, {spec['resize']}; a video needs {found['video_s']:.1f} s, as the published "
        "sampling skips its first frames",
    )
    labels = found["labels"]
    head.add_row("labels", f"{len(labels)}: {', '.join(labels[:10])}{' ...' if len(labels) > 10 else ''}")
    if found["background"]:
        head.add_row("background", ", ".join(found["background"]))
    head.add_row("written by", ", ".join(f"{name} {version}" for name, version in found["tools"].items()))
    note = "golden: largest difference of the golden clip's logits from PyTorch / largest logit"
    return Group(head, "", _precisions(found["precisions"]), "", note)


def _precisions(precisions: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("precision", "format"):
        table.add_column(column, no_wrap=True)
    for column in ("MB", "golden"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("parity", overflow="fold")
    for name, build in precisions.items():
        error = "-" if build["golden_error"] is None else f"{build['golden_error']:.1e}"
        table.add_row(name, build["format"], f"{build['bytes'] / MB:.1f}", error, build["comparison"])
    return table
