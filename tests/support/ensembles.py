"""Two small model folders that can form an ensemble, and changed copies of them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_tdn_export.network.tdn import TDN

from edge_tdn.manifest import InputSpec, Manifest, open_model
from tests.support.exports import BACKGROUND, LABELS, SPEC, export, write_labels
from tests.support.model_folders import reseal
from tests.support.networks import FEW_OPERATORS, small_network

STRIDE = 3  # frames, of the 16 segments; odd, so that the published sampling rounds
SPAN = 16 * STRIDE  # frames of a clip, without the 4 after the first frame of its last segment
Change = Callable[[Manifest], dict[str, object]]


@dataclass(frozen=True)
class Pair:
    """A network of 8 and one of 16 segments, with their model folders; the tests must not change these."""

    networks: dict[int, TDN]  # by T
    folder: Path

    @property
    def t8(self) -> Path:
        return self.folder / "t8"

    @property
    def t16(self) -> Path:
        return self.folder / "t16"


def spec_of(segments: int) -> InputSpec:
    """Return the input of a network whose clips span SPAN frames."""
    return SPEC.model_copy(update={"segments": segments, "segment_stride": SPAN // segments})


def pair_networks() -> dict[int, TDN]:
    """Return the two networks, by T. Their seeds give logits of similar size, so that a missing network shows."""
    options = {"width": 0.125, "classes": len(LABELS), **FEW_OPERATORS}
    return {t: small_network(t, seed=seed, **options) for t, seed in ((8, 6), (16, 5))}


def export_pair(folder: Path) -> None:
    """Export the two networks to `folder`/t8 and t16."""
    folder.mkdir()
    for t, network in pair_networks().items():
        source = (("file", f"{t}.pth"),)
        export(network, folder / f"t{t}", spec_of(t), name=f"t{t}", background=BACKGROUND, source=source)


def changed(folder: Path, copy: Path, change: Change, labels: Sequence[str] | None = None) -> Path:
    """Copy a model folder and change its manifest or labels consistently, as its author could have."""
    shutil.copytree(folder, copy)
    changes = change(open_model(copy).manifest)
    if labels is not None:
        write_labels(copy / "labels.txt", labels)
        changes["classes"] = len(labels)
    return reseal(copy, **changes)


def of_input(**values: object) -> Change:
    """Return a change of the manifest's input."""
    return lambda manifest: {"input": manifest.input.model_copy(update=values)}
