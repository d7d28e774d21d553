"""Features of clips, by small networks that OpenVINO runs: what is computed, what is cached, and what fails."""

from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.network.tdn import normalise
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.frozen import features as module
from edge_tdn_training.frozen.features import FrozenNetwork, compute_features
from edge_tdn_training.frozen.last_layer import LastLayer
from edge_tdn_training.frozen.networks import with_last_layer

from edge_tdn.errors import ConfigError
from tests.support.networks import TSN, small_network
from tests.support.training_clips import SPEC, decode_clips, make_clips

NETWORK = {"segments": SPEC.segments, "width": 0.125, "classes": 3}


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> DecodedDataSet:
    """Two classes, left and right, with two videos each."""
    folder = tmp_path_factory.mktemp("clips")
    return decode_clips(make_clips(folder / "clips", each=2), folder / "cache")


@pytest.fixture(scope="module")
def networks() -> tuple[FrozenNetwork, ...]:
    tsn = small_network(**NETWORK, **TSN, pooling="statistics")
    return FrozenNetwork("still", "s", "1", tsn), FrozenNetwork("moving", "m", "2", small_network(**NETWORK))


def test_features_are_the_inputs_of_the_last_layer(
    decoded: DecodedDataSet, networks: tuple[FrozenNetwork, ...], tmp_path: Path
) -> None:
    """A fitted layer on the features gives the logits of the network with that layer."""
    found = compute_features(decoded, networks, SPEC, mirror=True, cache=tmp_path)
    assert len(found.clips) == len(found.labels) == 2 * sum(not clip.mirrored for clip in found.clips)
    rng = np.random.default_rng(1)
    for network, block in zip(networks, found.blocks, strict=True):
        layer = LastLayer(rng.normal(size=(3, block.shape[1])).astype(np.float32), np.ones(3, np.float32))
        whole = with_last_layer(network.network, layer)
        for number in (0, len(found.clips) - 1):
            pixels = module._pixels(decoded, found.clips[number], SPEC)
            with torch.inference_mode():
                logits = whole(normalise(torch.from_numpy(pixels), SPEC.mean, SPEC.std)[None])[0].numpy()
            assert np.allclose(layer.logits(block[number : number + 1])[0], logits, rtol=1e-3, atol=1e-3)


def test_a_mirrored_clip_has_the_mirrored_pixels_and_the_label_of_the_mirror_image(
    decoded: DecodedDataSet, networks: tuple[FrozenNetwork, ...], tmp_path: Path
) -> None:
    clips = compute_features(decoded, networks[:1], SPEC, mirror=True, cache=tmp_path).clips
    plain, mirrored = (next(clip for clip in clips if clip.mirrored is way) for way in (False, True))
    assert (plain.video, plain.first) == (mirrored.video, mirrored.first)
    assert mirrored.label == decoded.data.swaps[plain.label] != plain.label
    pixels = [module._pixels(decoded, clip, SPEC) for clip in (plain, mirrored)]
    assert np.array_equal(pixels[0], pixels[1][:, :, :, ::-1])


def test_what_is_cached_is_not_computed_again(
    decoded: DecodedDataSet,
    networks: tuple[FrozenNetwork, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other weights are other features."""
    first = compute_features(decoded, networks[:1], SPEC, mirror=False, cache=tmp_path)

    def compiled(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(module, "compile_whole", compiled)
    again = compute_features(decoded, networks[:1], SPEC, mirror=False, cache=tmp_path)
    assert np.array_equal(first.blocks[0], again.blocks[0])
    other = FrozenNetwork("still", "s", "another hash", networks[0].network)
    with pytest.raises(AssertionError, match="compiled again"):
        compute_features(decoded, [other], SPEC, mirror=False, cache=tmp_path)


def test_a_damaged_file_of_the_cache_is_computed_again(
    decoded: DecodedDataSet, networks: tuple[FrozenNetwork, ...], tmp_path: Path
) -> None:
    first = compute_features(decoded, networks[:1], SPEC, mirror=False, cache=tmp_path)
    damaged = sorted((tmp_path / module.FOLDER).iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = compute_features(decoded, networks[:1], SPEC, mirror=False, cache=tmp_path)
    assert np.array_equal(first.blocks[0], again.blocks[0])


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_option(
    decoded: DecodedDataSet, networks: tuple[FrozenNetwork, ...], tmp_path: Path
) -> None:
    (tmp_path / module.FOLDER).write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="; the file is unchanged; choose another folder with --cache"):
        compute_features(decoded, networks[:1], SPEC, mirror=False, cache=tmp_path)
