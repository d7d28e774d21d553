"""Compare an exported model with PyTorch: preprocessing, every node, features, logits, labels, events; give a verdict.

The model runs as on a host, with the same runtime, ring and decider; the full-precision network reads the same
segments, which the live path cuts from video. These inputs are independent of the golden clip.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.config.tables import DecideConfig
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Build, InputSpec, Manifest, Model, Parity, seal
from edge_tdn.messages import CENTRE, ActionEvent, Scores
from edge_tdn_export.clips import Clips, Recording, total_clips
from edge_tdn_export.convert.convert import open_any, tools
from edge_tdn_export.convert.graphs import channels_last
from edge_tdn_export.convert.model_folder import replace_manifest, size_of
from edge_tdn_export.limits import limits_of
from edge_tdn_export.network.reference import Features, Networks, open_networks
from edge_tdn_export.parity import preprocessing
from edge_tdn_export.parity.nodes import NodeReference, node_errors, references, relative_error
from edge_tdn_export.parity.result import ComparedClip, EventLog, ParityReport, PrecisionComparison, logit_errors
from edge_tdn_export.progress import Step
from edge_tdn_export.video_files import content_sha256

MAX_PIXEL_RECORDINGS = 10  # recordings whose pixels are compared with Pillow's
THUMBNAIL_WIDTH = 112  # pixels, of the frames of a flip
MAX_CLIPS = 200  # compared in each precision; of more, evenly spaced ones, at least half as many: enough for a verdict

Logits = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ClipSample:
    """The clips that one precision is compared on: INT8's are of recordings that did not calibrate it, if any are."""

    lasts: dict[Recording, tuple[int, ...]]  # number of each clip's last segment
    hop: int  # segments between two clips
    calibrated: bool  # none was held out


@dataclass(frozen=True, eq=False)
class _Expected:
    """A recording and PyTorch's logits of its clips, in any precision's sample."""

    recording: Recording
    logits: dict[int, Logits]  # by the number of the clip's last segment
    first: Features  # features of the first segment


def steps(clips: Clips, model: Model, precisions: Sequence[str]) -> int:
    """Return the number of steps that `compare` reports."""
    recordings = len(clips.recordings)
    return recordings * (1 + len(precisions)) + len(_pixel_recordings(clips)) + 1 + len(precisions)


def compare(
    model: Model, precisions: Sequence[str], clips: Clips, clips_from: str, step: Step, max_clips: int = MAX_CLIPS
) -> ParityReport:
    """Compare the given precisions of a model folder with PyTorch. ModelError: one cannot be opened, or fails.

    `clips_from` is the source of the clips as the report states it. Where the recordings of a precision hold more than
    `max_clips`, its clips are some segments apart, as with a camera's `hop`.
    """
    networks = open_networks(model)
    spec = model.manifest.input
    samples = {name: sample_clips(model.build(name), clips.recordings, spec, max_clips) for name in precisions}
    expected = [_expect(networks, recording, samples.values(), step) for recording in clips.recordings]
    pixels = []
    for recording in _pixel_recordings(clips):
        step(f"preprocessing against Pillow: {recording.name}")
        pixels += [found for found in [preprocessing.compare_pixels(recording, networks)] if found]
    step("PyTorch: every node")
    graphs = references(networks, clips.recordings[0].clip(spec.segments - 1, spec))
    agrees = preprocessing.sampling_agrees(spec)
    return ParityReport(
        model=model.manifest.id,
        network=" + ".join(f"{n.config.arch}, T = {n.config.segments}" for n in networks.members),
        labels=model.labels,
        checked_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        tools=tools(),
        clips_from=clips_from,
        sampling_agrees=agrees,
        preprocessing=tuple(pixels),
        comparisons=tuple(
            _compare(model, networks, name, sample, expected, graphs, agrees, step) for name, sample in samples.items()
        ),
        skipped=clips.skipped,
    )


def record(model: Model, report: ParityReport) -> Manifest:
    """Write the results into the folder's manifest, atomically. ModelError: it has changed since it was opened."""
    parity = dict(model.manifest.parity)
    for found in report.comparisons:
        claim = found.claim
        parity[found.precision] = Parity(
            clips=claim.clips,
            recordings=claim.recordings,
            max_logit_error=_finite(found.max_logit_error),
            top1_agreement=found.top1_agreement,
            mean_kl=_finite(found.mean_kl),
            same_events=not claim.differing,
            differing=claim.differing,
            within_limits=claim.within_limits,
            device=found.device,
            checked_at=report.checked_at,
        )
    manifest = seal(model.manifest.model_copy(update={"parity": parity}))
    replace_manifest(model, manifest)
    return manifest


def _finite(figure: float) -> float | None:
    return figure if np.isfinite(figure) else None


def sample_clips(build: Build, recordings: Sequence[Recording], spec: InputSpec, max_clips: int) -> ClipSample:
    """Choose the clips on which a precision is compared. OSError: a recording cannot be read any more."""
    calibration = _calibration(build, recordings)
    held_out = [one for one in recordings if one not in calibration]
    compared = held_out or recordings
    hop = -(-total_clips(compared, spec) // max(1, max_clips))
    return ClipSample({one: tuple(one.lasts(spec, hop)) for one in compared}, hop, calibrated=not held_out)


def _expect(networks: Networks, recording: Recording, samples: Iterable[ClipSample], step: Step) -> _Expected:
    step(f"PyTorch: {recording.name}")
    lasts = {last for sample in samples for last in sample.lasts.get(recording, ())}
    first = networks.encode(recording.segments[0].frames[None])
    window: deque[Features] = deque(maxlen=networks.spec.segments)
    logits = {}
    for number, segment in enumerate(recording.segments[: max(lasts, default=-1) + 1]):
        window.append(networks.encode(segment.frames[None]) if number else first)
        if number in lasts:
            logits[number] = networks.classify(_window(window))
    return _Expected(recording, logits, first)


def _window(features: Iterable[Features]) -> Features:
    """Join the features of single segments to those of one clip, [T, ...]."""
    return tuple(
        tuple(torch.cat(same) for same in zip(*own, strict=True)) for own in zip(*features, strict=True)
    )  # for each network, for each feature: [T, ...]


def _pixel_recordings(clips: Clips) -> tuple[Recording, ...]:
    """Return the recordings whose pixels are compared: at most MAX_PIXEL_RECORDINGS, evenly spaced."""
    return clips.recordings[:: -(-len(clips.recordings) // MAX_PIXEL_RECORDINGS)]


def _compare(
    model: Model,
    networks: Networks,
    precision: str,
    sample: ClipSample,
    expected: Sequence[_Expected],
    graphs: Sequence[NodeReference],
    sampling_agrees: bool,
    step: Step,
) -> PrecisionComparison:
    step(f"{precision}: every node")
    nodes = node_errors(model, graphs, precision)
    limits = limits_of(precision)
    runtime = open_any(model, precision)
    try:
        clips: list[ComparedClip] = []
        events = []
        for one in expected:
            step(f"{precision}: {one.recording.name}")
            lasts = sample.lasts.get(one.recording)
            if lasts is None:
                continue
            scored = _score(runtime, one, lasts, model)
            clips += scored
            events.append(_events(model, precision, one.recording, lasts, scored))
        features = _features(runtime, networks, expected[0])
    finally:
        runtime.close()
    found = PrecisionComparison(
        precision=precision,
        device=runtime.device,
        limits=limits,
        nodes=nodes,
        first_diverging=next((node for node in nodes if not node.error <= limits.node_error), None),
        features=features,
        clips=tuple(clips),
        events=tuple(events),
        max_logit_error=float(np.max(logit_errors(clips))),
        top1_agreement=float(np.mean([not clip.flips for clip in clips])),
        top5_agreement=float(np.mean([clip.expected.argmax() in np.argsort(clip.got)[-5:] for clip in clips])),
        mean_kl=float(np.mean([clip.kl for clip in clips])),
        failures=(),
        calibrated=sample.calibrated,
        hop=sample.hop,
        size=size_of(model, model.build(precision)),
    )
    failures = _failures(found)
    if not sampling_agrees:
        failures.append("sampling: the window picks other frames than the published sampling")
    if not nodes and model.build(precision).format != "torch":
        failures.append("nodes: not one could be compared")
    return replace(found, failures=tuple(failures))


def _calibration(build: Build, recordings: Sequence[Recording]) -> list[Recording]:
    """Return the recordings that a build was calibrated on. OSError: one cannot be read any more.

    A video is known by its content, whatever its name. An older manifest has names only: a video of the same name is
    taken for the same, wherever it is.
    """
    if build.calibrated_sha256:
        hashes = {path: content_sha256(path) for path in {recording.path for recording in recordings}}
        return [one for one in recordings if hashes[one.path] in build.calibrated_sha256]
    names = {_own_name(name) for name in build.calibrated_on}
    return [one for one in recordings if _own_name(one.name) in names]


def _own_name(name: str) -> str:
    """Return a video's name without its folders, and without the number that `finetune` once put before it."""
    return re.sub(r"^[0-9]{4}-", "", PurePosixPath(name).name)


def _score(runtime: Runtime, one: _Expected, lasts: Sequence[int], model: Model) -> list[ComparedClip]:
    """Run a recording as a stream, one segment after the other, and classify a clip at each hop."""
    spec, ring = model.manifest.input, runtime.ring()
    clips = []
    for number, segment in enumerate(one.recording.segments):
        runtime.encode([segment.frames], [ring])
        if number not in lasts:
            continue
        got = runtime.classify([ring])[0]
        scored = ComparedClip(one.recording.name, one.recording.seconds(number), one.logits[number], got)
        if scored.flips:
            clip = one.recording.segments[number + 1 - spec.segments : number + 1]
            scored = replace(scored, thumbnails=tuple(_thumbnail(segment.frames[CENTRE]) for segment in clip))
        clips.append(scored)
    return clips


def _events(
    model: Model, precision: str, recording: Recording, lasts: Sequence[int], scored: Sequence[ComparedClip]
) -> EventLog:
    return EventLog(
        recording.name,
        expected=_log(model, precision, recording, dict(zip(lasts, [clip.expected for clip in scored], strict=True))),
        got=_log(model, precision, recording, dict(zip(lasts, [clip.got for clip in scored], strict=True))),
    )


def _log(model: Model, precision: str, recording: Recording, logits: Mapping[int, Logits]) -> tuple[str, ...]:
    """Return the events that the live decider, with its default thresholds, makes of these logits."""
    origin = Origin("parity", "parity", "parity", model.ref(precision))
    decider = Decider(DecideConfig(), origin, model.labels, model.manifest.background)
    spec = model.manifest.input
    events: list[ActionEvent] = []
    for last, scores in logits.items():
        newest, oldest = recording.segments[last], recording.segments[last + 1 - spec.segments]
        events += decider.push(
            Scores(
                logits=scores,
                from_ns=oldest.from_ns,
                newest_ns=newest.from_ns,
                to_ns=newest.to_ns,
                wall_ns=newest.to_ns,  # so that the log has times of the video
                frames=spec.segments * spec.frames,
                dropped=0,
                received_ns=0,
                ready_ns=0,
                taken_ns=0,
                scored_ns=0,
            )
        )
    events += decider.break_off("video_ended")
    return tuple(_line(event) for event in events)


def _line(event: ActionEvent) -> str:
    moment = {"start": event.started_at, "end": event.ended_at}.get(event.type) or event.window.to
    seconds = (datetime.fromisoformat(moment) - datetime.fromtimestamp(0, UTC)).total_seconds()
    return f"{seconds:8.2f} s  {event.type:6} {event.label}"


def _features(runtime: Runtime, networks: Networks, one: _Expected) -> dict[str, float]:
    """Compare the encoder's outputs for one segment: name -> largest difference / largest value."""
    ring = runtime.ring()
    runtime.encode([one.recording.segments[0].frames], [ring])
    newest = ring.newest()
    errors = {}
    for number, (network, expected) in enumerate(zip(networks.members, one.first, strict=True)):
        key, title = (f"{number}.", f"T={network.config.segments} ") if len(networks.members) > 1 else ("", "")
        for name, tensor in zip(network.features, expected, strict=True):
            errors[title + name] = relative_error(channels_last(tensor)[-1].numpy(), newest[key + name])
    return errors


def _failures(found: PrecisionComparison) -> list[str]:
    """Describe the limits that are exceeded."""
    limits, failures = found.limits, []
    if limits.max_logit_error is not None and not found.max_logit_error <= limits.max_logit_error:
        failures.append(
            f"logits: off by {found.max_logit_error:.2g} of the largest, allowed {limits.max_logit_error:g}"
        )
    if not found.top1_agreement >= limits.top1_agreement:
        same = sum(not clip.flips for clip in found.clips)
        required = f"required at least {limits.top1_agreement:.0%}"
        failures.append(f"top-1 agreement: {same} of {len(found.clips)} clips, {required}")
    if limits.mean_kl is not None and not found.mean_kl <= limits.mean_kl:
        failures.append(f"mean KL: {found.mean_kl:.2g} nats, allowed {limits.mean_kl:g}")
    differ = [log.recording for log in found.events if not log.same]
    if limits.same_events and differ:
        failures.append(f"events differ: {', '.join(differ)}")
    return failures


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize a frame to THUMBNAIL_WIDTH pixels."""
    height = round(THUMBNAIL_WIDTH * frame.shape[0] / frame.shape[1])
    return cv2.resize(frame, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
