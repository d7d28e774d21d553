"""The verdict on a precision: its words, and the evidence that it needs."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.manifest import open_model
from edge_tdn.shell import command
from edge_tdn.verdict import Claim, Verdict, percent, recorded_claim, recorded_comparison, rounded_up
from tests.support.model_folders import Content, edit_manifest


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (Claim("fp32", True, 50, 3), "equal: 50 clips of 3 recordings"),
        (Claim("cuda-fp32", True, 50, 3), "equal: 50 clips of 3 recordings"),
        (Claim("bf16", True, 142, 16, 1), "within limits: 142 clips of 16 recordings, other events in 1 of them"),
        (Claim("int8", True, 50, 3), "within limits: 50 clips of 3 recordings"),
        (
            Claim("int8", True, 49, 3),
            "too few clips: 49 clips of 3 recordings, at least 50 of 3 are needed",
        ),
        (
            Claim("fp32", True, 500, 2),
            "too few clips: 500 clips of 2 recordings, at least 50 of 3 are needed",
        ),
        (Claim("fp32", False, 1, 1, 1), "outside limits: 1 clip of 1 recording, other events in 1 of them"),
        (Claim("int8", False, 500, 20), "outside limits: 500 clips of 20 recordings"),
    ],
)
def test_verdict_needs_limits_clips_and_recordings(claim: Claim, text: str) -> None:
    """A limit that is exceeded is certain on any number of clips; that all are kept is not."""
    assert str(claim) == text
    assert claim.holds == (claim.verdict in (Verdict.EQUAL, Verdict.WITHIN))


@pytest.mark.parametrize(("share", "text"), [(1.0, "100.0%"), (0.99999, "99.9%"), (133 / 142, "93.7%"), (0.0, "0.0%")])
def test_only_all_is_100_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("figure", "text"), [(3.099e-07, "3.1e-07"), (3.11e-07, "3.2e-07"), (0.02, "0.02"), (0.996, "1"), (0.0, "0")]
)
def test_figure_is_never_below_what_it_bounds(figure: float, text: str, model_copy: Path) -> None:
    def make(content: Content) -> None:
        content["parity"]["int8"]["max_logit_error"] = figure

    assert rounded_up(figure) == text
    edit_manifest(model_copy, make)
    assert f"logits within {text} of the largest, " in recorded_comparison(open_model(model_copy), "int8")


def test_manifest_of_an_older_export_is_read_and_has_too_few_recordings(model_copy: Path) -> None:
    """It has neither the number of recordings nor that of the differing ones, and `proven` in place of a verdict."""

    def make_older(content: Content) -> None:
        old: dict[str, Any] = content["parity"]["int8"]
        del old["recordings"], old["differing"], old["within_limits"]
        old["proven"] = True

    edit_manifest(model_copy, make_older)
    text = recorded_comparison(open_model(model_copy), "int8")
    assert text.startswith(
        "too few clips: 142 clips, recordings not recorded, other events in 1 recording, at least 50 of 3 are needed; "
    )
    parity_command = command("edge-tdn-export", "parity", model_copy, "--clips", "VIDEOS")
    assert text.endswith(f"; compare again with `{parity_command}`")
    assert "compare again" not in recorded_comparison(open_model(model_copy), "fp32")


def test_precision_without_a_record_is_not_compared(model_copy: Path) -> None:
    """The command that compares it can be pasted, whatever the name of the folder is."""
    folder = model_copy.rename(model_copy.with_name("Bob's model"))
    model = open_model(folder)
    assert recorded_claim(model, "fp16") is None
    before, printed, after = recorded_comparison(model, "fp16").split("`")
    assert (before, after) == ("not compared with PyTorch; ", " does it")
    assert printed == command("edge-tdn-export", "parity", folder, "--clips", "VIDEOS")
    assert shlex.split(printed)[1:] == ["parity", str(folder), "--clips", "VIDEOS"]
