"""The numbers of the generated clips: frozen, complete, and those of the shipped model's generator."""

import ast
import hashlib
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_tdn_training.synthetic import paintings
from edge_tdn_training.synthetic.clips import SPEC, generate_clip
from edge_tdn_training.synthetic.dataset import GENERATOR
from edge_tdn_training.synthetic.scene_config import SceneConfig

from edge_tdn.demo.scene import MOTIONS

pytestmark = pytest.mark.training

GRID = 4  # rows and columns of a fingerprint
TOLERANCE = 3  # grey levels: processors and releases of OpenCV round differently
FINGERPRINTS = {  # seed -> label, mean grey levels of 4 x 4 cells of three frames, hexadecimal
    0: ("down", "32487a6a2e5d66454289a1434b9e491932497a692e5e6545428a9f414b9e471932497b6a2e5d604743899e424c9f4819"),
    5: ("recede", "92493f4965365079522e3b6b3d2b3b4592563f4965364f7952343b6b3d2b3b45925b3f49653b4f7952393b6b3d2b3b45"),
    7: ("down", "6090807b80bd6463706a5759727068656460867968787b786588797e90ab68675a658a7c67658377687d7a7a75917b7c"),
    20: ("left", "97818c9598839286859ca1817aa5898392998e82998c988ba08586938b878d8f9b858a8c909d82808691869284909aa1"),
    33: ("up", "a19ea29da49495a7969090917d7c7f81a19a9f9ca49597a6969090917c7c7f81a0999f9da69697a6969090917d7c7f81"),
    1 << 32: (
        "wave",
        "486e735f506974774e5c607a4c585e72496f725f506e75774c60637a4c595f72486e725f506974774e60627a4c5a5e73",
    ),
}


def fingerprint(seed: int) -> tuple[str, str]:
    """Return the label and the mean grey levels of first, middle and last frame of a clip, as hexadecimal digits."""
    clip = generate_clip(seed, SPEC)
    frames = (clip.frames[segment, 2].mean(2).astype(np.float32) for segment in (0, 4, 7))
    levels = [cv2.resize(frame, (GRID, GRID), interpolation=cv2.INTER_AREA) for frame in frames]
    return MOTIONS[clip.label], np.stack(levels).round().astype(np.uint8).tobytes().hex()


@pytest.mark.parametrize("seed", FINGERPRINTS)
def test_a_number_gives_the_clip_of_this_generator(seed: int) -> None:
    """Change the fingerprints only together with GENERATOR: runs are resumed with the clips they began with."""
    assert GENERATOR == 1
    label, levels = fingerprint(seed)
    expected_label, expected = FINGERPRINTS[seed]
    assert label == expected_label
    found, required = (np.frombuffer(bytes.fromhex(text), np.uint8).astype(int) for text in (levels, expected))
    assert np.abs(found - required).max() <= TOLERANCE


def sections(config: object) -> list[object]:
    """Return a configuration and all that it contains."""
    inner = [getattr(config, field.name) for field in fields(config)]  # type: ignore[arg-type]
    return [config, *(part for value in inner if is_dataclass(value) for part in sections(value))]


def test_every_section_is_frozen_and_every_share_is_a_probability() -> None:
    for section in sections(SceneConfig()):
        for field in fields(section):  # type: ignore[arg-type]
            value = getattr(section, field.name)
            with pytest.raises(FrozenInstanceError):
                setattr(section, field.name, value)
            if field.name.endswith("_share"):
                assert 0 <= value <= 1, f"{type(section).__name__}.{field.name}"
            if field.name.endswith(("_counts", "_shares")) and all(isinstance(part, float) for part in value):
                assert sum(value) == pytest.approx(1), f"{type(section).__name__}.{field.name}"


def test_every_number_is_used() -> None:
    """A field that no drawing reads would be a promise without effect."""
    folder = Path(paintings.__file__).parent
    code = [ast.parse(path.read_text()) for path in folder.glob("*.py") if not path.name.endswith("_config.py")]
    used = {node.attr for tree in code for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = {field.name for section in sections(SceneConfig()) for field in fields(section)}  # type: ignore[arg-type]
    assert names <= used


def test_other_numbers_give_other_clips_of_the_same_label() -> None:
    config = SceneConfig()
    darker = replace(config, camera=replace(config.camera, colours=replace(config.camera.colours, dark_share=1.0)))
    clip, changed = (generate_clip(3, SPEC, config=one) for one in (config, darker))
    assert clip.label == changed.label
    assert hashlib.sha256(clip.frames).digest() != hashlib.sha256(changed.frames).digest()
