"""RTP streams that change their identifiers while they play: frames continue, or the reason is named."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S
from tests.support.rtsp import RtspCamera
from tests.support.running_source import PATIENT_TIMING, RunningSource

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
MAX_STEP_S = 0.5  # between two frames: max_gap_s, above which the window is emptied
SMOOTH, MOST = 3, 30  # changes that must come without such a step, and changes in all: a busy machine loses frames


@both
@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("fault", ["ssrc", "jump"])
def test_the_stream_continues_with_another_ssrc_or_numbering(
    rtsp: Callable[..., RtspCamera], fault: str, transport: str, decoder: str
) -> None:
    """Several times; the connection stays, and the frames' times grow as before."""

    def changes_smoothly(number: int) -> bool:
        before = source.count
        source.wait(lambda: source.count >= before + 15)
        camera.fault(fault if number % 2 == 0 else "ok")
        changed = source.count
        source.wait(lambda: source.count >= changed + 15)
        steps_s = [(after.pts_ns - one.pts_ns) / NS_PER_S for one, after in pairwise(source.frames[before:])]
        return max(steps_s) < MAX_STEP_S

    if (transport, decoder) == ("udp", "opencv"):
        pytest.skip("OpenCV plays over TCP only")
    camera = rtsp("", "test:", "--rate", "10")
    source = RunningSource(camera.url(), decoder, transport=transport)
    try:
        smooth = number = 0
        while smooth < SMOOTH and number < MOST:
            smooth += changes_smoothly(number)
            number += 1
    finally:
        source.close()
    assert source.entered() == ["connecting", "streaming"]
    assert source.stream == 1
    steps_s = [(after.pts_ns - one.pts_ns) / NS_PER_S for one, after in pairwise(source.frames)]
    assert min(steps_s) > 0
    assert smooth == SMOOTH, steps_s


def test_a_stream_with_a_payload_type_that_was_not_announced_is_stalled_with_that_reason(
    rtsp: Callable[..., RtspCamera],
) -> None:
    """The codec of such packets is unknown; a new connection gets a new description."""
    camera = rtsp()
    source = RunningSource(camera.url(), timing=replace(PATIENT_TIMING, stall_s=12.0))
    try:
        source.wait(lambda: source.count >= 10)
        camera.fault("payload")
        reason = source.wait_for("stalled")
        camera.fault("ok")
        before = source.count
        source.wait(lambda: source.count > before)
    finally:
        source.close()
    assert reason == (
        "no picture for 12 s: the camera sends RTP payload type 126, which its session description does not announce"
    )


def test_the_threads_of_earlier_ssrcs_end_while_the_stream_continues(rtsp: Callable[..., RtspCamera]) -> None:
    """Each SSRC has a jitter buffer of its own; an earlier one ends when RTCP times out, after half a minute."""
    camera = rtsp("", "test:", "--rate", "20")
    source = RunningSource(camera.url(), keep=False)
    try:
        source.wait(lambda: source.count >= 10)
        usual = _threads()
        for _ in range(6):  # a busy machine too is done within the half minute
            camera.fault("ssrc")
            before = source.count
            source.wait(lambda seen=before: source.count >= seen + 4)  # type: ignore[misc]
            camera.fault("ok")
        source.wait(lambda: _threads() >= usual + 6)
        source.wait(lambda: _threads() <= usual + 2)
        before = source.count
        source.wait(lambda: source.count >= before + 10)
    finally:
        source.close()
    assert source.entered() == ["connecting", "streaming"]


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
