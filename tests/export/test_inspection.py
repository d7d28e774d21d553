"""`edge-tdn-export inspect`: its figures agree with the files and with the paper."""

import json
from pathlib import Path

import pytest
from edge_tdn_export.__main__ import main
from edge_tdn_export.inspection import inspect, macs
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from safetensors.torch import load_file

from edge_tdn.manifest import Model


@pytest.mark.parametrize(
    ("arch", "segments", "clip", "hop"),
    [("resnet50", 8, 35.64, 26.6), ("resnet50", 16, 71.28, 71.28 - 15 * 1.28), ("resnet101", 8, 65.84, 56.9)],
)
def test_multiply_accumulates_are_within_a_percent_of_the_papers(
    arch: str, segments: int, clip: float, hop: float
) -> None:
    """A hop encodes one segment and classifies once."""
    encoder, head = macs(TDN(TDNConfig(arch=arch, segments=segments)).eval(), 224, 224)
    assert (segments * encoder + head) / 1e9 == pytest.approx(clip, rel=0.01)
    assert (encoder + head) / 1e9 == pytest.approx(hop, rel=0.01)
    assert encoder / 1e9 == pytest.approx(1.28, rel=0.01)


def test_figures_of_the_shipped_model_match_its_files(motion: Model) -> None:
    found = inspect(motion)
    (network,) = found["networks"]
    stored = load_file(motion.folder / "weights.safetensors")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert network["parameters"] == sum(v.numel() for k, v in stored.items() if not k.endswith(statistics))
    for name, build in found["precisions"].items():
        files = motion.manifest.files
        graphs = {n for n in files if n.startswith("int8/" if name == "int8" else "fp32/") and "quantize" not in n}
        assert build["bytes"] == sum(files[n].size for n in graphs), name
        assert build["parity"]["within_limits"] == (build["verdict"] != "outside limits")
    assert found["clip_s"] == pytest.approx(33 / 15)


def test_inspect_command_prints_the_same_figures_as_table_and_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "motion", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["inspect", "motion"]) == 0
    shown = capsys.readouterr().out
    cost = f"{found['gmac_per_clip']:.2f} GMAC per clip"
    for part in (cost, "T = 8", "2.9 M parameters", "fp32", "bf16", "still, left, right", "equal: 142 clips of"):
        assert part in shown
    assert main(["inspect", "nothing"]) == 78
    assert "no such model folder" in capsys.readouterr().err
