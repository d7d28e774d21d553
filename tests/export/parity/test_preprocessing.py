"""Our input compared with the published one: Pillow's resize, the published sampling."""

import numpy as np
import pytest
from edge_tdn_export.parity.preprocessing import frame_indices, resize, sampling_agrees

from edge_tdn.manifest import InputSpec
from edge_tdn.segments.preprocess import Preprocessor


def spec(segments: int = 8, stride: int = 5, **other: object) -> InputSpec:
    values = {"height": 64, "width": 64, "resize": "short_side_centre_crop", "short_side": 73, "frame_rate": 12.0}
    return InputSpec.model_validate({**values, "segments": segments, "segment_stride": stride, **other})


@pytest.mark.parametrize("segments", [8, 16])
@pytest.mark.parametrize("stride", [2, 3, 4, 5, 7, 8, 16, 40])
def test_window_picks_the_frames_of_the_published_sampling(segments: int, stride: int) -> None:
    assert sampling_agrees(spec(segments, stride))


def test_each_network_of_an_ensemble_gets_its_own_published_frames() -> None:
    assert sampling_agrees(spec(8, 6, per_segment=(1, 2)))
    assert sampling_agrees(spec(8, 10, per_segment=(2, 1)))


def test_window_off_by_one_tick_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InputSpec, "starts", property(lambda self: (self.segment_stride // 2 + 1,)))
    assert not sampling_agrees(spec())


def test_short_videos_are_sampled_as_published() -> None:
    assert (frame_indices(12, 8) == [0, 1, 2, 3, 4]).all()  # N <= T + 4: every segment starts at the first frame
    assert frame_indices(13, 8)[:, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]  # tick = 9/8
    assert frame_indices(3, 8)[0].tolist() == [0, 1, 2, 2, 2]  # the last frame repeats
    assert frame_indices(100, 8)[-1].tolist() == [90, 91, 92, 93, 94]


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (256, 455), (101, 233), (960, 480), (50, 70)])
@pytest.mark.parametrize("rule", ["short_side_centre_crop", "stretch"])
def test_our_resize_is_the_published_one(size: tuple[int, int], rule: str) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    chosen = spec(resize=rule, short_side=73 if rule != "stretch" else 0)
    off = np.abs(Preprocessor(chosen)(picture).astype(int) - resize(picture, chosen))
    assert off.max() <= 1
    assert off.mean() < 0.1  # since 12.2, Pillow resizes the columns of tall frames first
