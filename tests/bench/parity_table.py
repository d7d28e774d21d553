"""`make parity`: measure the documentation's table of precisions, which takes most of an hour.

The networks are those of the reference folder (pseudo-random weights for which the published implementation's logits
are known: R50 with 8 and 16 segments, R101 with 8), exported and quantised here, and the trained `motion` as it ships.
The first three give nearly every clip the same label, so that their top-1 agreement means little.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from edge_tdn_export.__main__ import main as export
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from rich.console import Console

from edge_tdn.manifest import shipped_models
from edge_tdn.verdict import percent
from tests.conftest import reference_network

REFERENCE = {
    "R50, T = 8": ("tdn_resnet50_8f_174c", "resnet50", 8),
    "R50, T = 16": ("tdn_resnet50_16f_174c", "resnet50", 16),
    "R101, T = 8": ("tdn_resnet101_8f_174c", "resnet101", 8),
}
MOTION = "motion"
PRECISIONS = ("fp32", "onnx", "fp16", "bf16")
STRIDE = {8: 6, 16: 3}  # ticks, so that both clips span 4.3 s
MB = 1e6


def main() -> None:
    """Export the networks that --out lacks, compare them, and print the table in Markdown."""
    parser = argparse.ArgumentParser(prog="make parity", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="(default: ../shared/data)")
    parser.add_argument("--out", type=Path, default=Path("runs/parity"), help="(default: runs/parity)")
    parser.add_argument("--clips", type=int, default=200, help="maximum number of real clips (default: 200)")
    parser.add_argument("--only", nargs="*", help="names of networks, as in the table")
    options = parser.parse_args()
    videos = options.data / "videos"
    lines = []
    for name in (*REFERENCE, MOTION):
        if options.only and name not in options.only:
            continue
        folder = options.out / folder_name(name)
        seconds = _make(name, folder, options.data, videos)
        export(["parity", str(folder), "--clips", str(videos), "--max-clips", str(options.clips)])
        lines += _rows(name, folder, seconds)
    head = "| network | precision | verdict | largest logit error | top-1 agreement | mean KL | MB | export |"
    Console().print("\n".join([head, "|" + "---|" * 8, *lines]), soft_wrap=True, markup=False)


def folder_name(name: str) -> str:
    """Return the name of a network's folder: `R50, T = 8` -> `r50-t8`."""
    return name.lower().replace(" = ", "").replace(", ", "-")


def _make(name: str, folder: Path, data: Path, videos: Path) -> dict[str, float]:
    """Convert and quantise, or copy the shipped model.

    Return the seconds of each step, which a file next to the folder keeps.
    """
    times = folder.with_suffix(".json")
    if folder.exists() and times.exists():
        return dict(json.loads(times.read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if name == MOTION:
        shutil.copytree(shipped_models() / MOTION, folder)
        return {}
    weights = folder.with_suffix(".safetensors")
    variant, arch, segments = REFERENCE[name]
    labels, options = folder.with_suffix(".txt"), ["--segment-stride", str(STRIDE[segments])]
    labels.write_text("".join(f"label {n}\n" for n in range(174)))
    network = reference_network(data.parent / "reference", variant, TDNConfig(arch=arch, segments=segments))
    checkpoint.save(network, weights)
    convert = ["convert", str(weights), str(folder), "--labels", str(labels), "--precisions", *PRECISIONS]
    began = time.monotonic()
    assert export([*convert, *options]) == 0
    converted = time.monotonic()
    assert export(["quantize", str(folder), "--clips", str(videos), "--allow-few-clips"]) == 0
    seconds = {"convert": converted - began, "quantize": time.monotonic() - converted}
    times.write_text(json.dumps(seconds))
    return seconds


def _rows(name: str, folder: Path, seconds: dict[str, float]) -> list[str]:
    """Return one row per precision. `convert` writes all but INT8, so the first row has its seconds."""
    report = json.loads((folder / "parity.json").read_text())
    rows = []
    for number, found in enumerate(report["comparisons"]):
        step = {0: "convert"}.get(number, "quantize" if found["precision"] == "int8" else "")
        took = f"{seconds[step]:.0f} s" if step in seconds else ""
        error, kl = (
            f"{v:.1e}" if v is not None else "not finite" for v in (found["max_logit_error"], found["mean_kl"])
        )
        agreement = percent(found["top1_agreement"])
        size = found["size"] / MB
        figures = f"{error} | {agreement} | {kl} | {size:.{0 if size >= 10 else 1}f} | {took}"
        rows.append(f"| {name} | {found['precision']} | {found['verdict']} | {figures} |")
        name = ""
    return rows


if __name__ == "__main__":
    main()
