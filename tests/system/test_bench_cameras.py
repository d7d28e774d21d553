"""`make bench-cameras`, small: it measures, says what it chose, and leaves table, JSON and plot."""

import json
from pathlib import Path

import pytest

from tests.bench import batches
from tests.bench.batches import Batch
from tests.bench.cameras import Cost, main


def test_every_number_of_cameras_is_measured_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # so fast that any host is too slow for 4, and few, so that each has many turns on a slow one; in turn, since the
    # load of the host changes
    options = ["--cameras", "1", "4", "--rounds", "2", "--seconds", "6", "--threads", "1", "--speed", "100"]
    assert main([*options, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "cameras-motion-fp32.json").read_text())
    one, many = found["loads"]
    assert found["segments_s"] == 375
    assert one["cameras"] == 1
    assert one["latency_ms"]["p50"] <= one["latency_ms"]["p99"]
    assert many["hop"] > 1.5 * one["hop"]
    assert many["hop_least"] <= many["hop"] <= many["hop_most"]
    assert many["shed"] > 0.3
    assert many["says"].startswith("host too slow")
    assert many["clips_s"] == pytest.approx(4 * 375 / many["hop"], rel=0.3)
    assert (tmp_path / "cameras-motion-fp32.png").read_bytes().startswith(b"\x89PNG")
    assert "host too slow:" in capsys.readouterr().out


def test_a_wrong_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path / "none")]) == 78
    assert capsys.readouterr().err.startswith(f"bench-cameras: {tmp_path / 'none'}: no such model folder")


def test_the_possible_hop() -> None:
    """Every segment is encoded; what is left of a segment's length is for clips; at most T segments go into a turn."""
    cost = Cost(encode_s=0.01, classify_s=0.04)
    assert cost.hop(1, 10, 8) == 1
    assert cost.hop(2, 10, 8) == 1  # just
    assert cost.hop(5, 10, 8) == pytest.approx(5 * 0.04 / (0.1 - 5 * 0.01))
    assert cost.hop(20, 10, 8) == pytest.approx(20 * (8 * 0.01 + 0.04) / 0.1)


def test_a_batch_must_be_worth_it() -> None:
    """Judged by the whole hop: a gain of the encoder alone, a tenth of it, is none."""
    alone = [Batch("encoder", 1, 1.0, 1.0, 1.0, 0.0), Batch("head", 1, 9.0, 1.0, 1.0, 0.0)]
    encoder, head = Batch("encoder", 2, 0.5, 2.0, 2.0, 0.0), Batch("head", 2, 4.5, 2.0, 2.0, 0.0)
    assert batches.verdict([*alone, head, Batch("encoder", 2, 1.0, 1.0, 1.0, 0.0)]).endswith("batch = 2")
    assert batches.gains([*alone, encoder, head])[2] == 2
    modest = Batch("head", 2, 9.0, 1.0, 1.0, 0.0)
    assert batches.verdict([*alone, Batch("encoder", 2, 0.8, 1.25, 1.25, 0.0), modest]).endswith("batch = 1")
