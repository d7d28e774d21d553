"""Join model folders into one whose networks share a stream and whose logits are added: the paper's 8 + 16 segments.

Every network keeps its own T and reads the frames that the published sampling takes for it. The folder has the smallest
T and that network's stride; one segment of the folder holds `per_segment` segments of each network, and all clips span
the same time. The graphs do not depend on strides: an ensemble may have others than its folders.
"""

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from edge_tdn.errors import ModelError
from edge_tdn.manifest import (
    LABELS,
    MANIFEST,
    UNSEALED,
    WORST_GOLDEN_ERROR,
    Build,
    Graphs,
    InputSpec,
    Manifest,
    Model,
    open_model,
    records,
)
from edge_tdn_export.convert.convert import check_id, measure_golden, moving_grating, tools, write_golden
from edge_tdn_export.convert.model_folder import whole_or_nothing
from edge_tdn_export.network.reference import Networks, open_networks
from edge_tdn_export.progress import Step

SAME_INPUT = (
    "height",
    "width",
    "resize",
    "short_side",
    "frame_rate",
    "mean",
    "std",
)  # the networks share one preprocessed stream


def steps(folders: Sequence[Path]) -> int:
    """Return the number of steps that `ensemble` reports."""
    return len(folders) + 2 + len(_shared_precisions([open_model(folder) for folder in folders]))


def ensemble(
    folders: Sequence[Path],
    out: Path,
    *,
    id: str,  # noqa: A002 (the manifest's name for it)
    segment_stride: int = 0,
    step: Step = lambda _: None,
) -> Manifest:
    """Write the model folder `out`, whole or not at all, and test every precision on its golden clip.

    `segment_stride`: frames between segments of the network with the smallest T; those of the others follow. 0: the
    folders' own. ModelError: `out` exists, a folder is damaged, or the folders do not match.
    """
    check_id(id)
    models = [open_model(folder) for folder in folders]
    _check_alike(models)
    spec = _input(models, segment_stride)
    precisions = _shared_precisions(models)
    with whole_or_nothing(out) as scratch:
        return _fill(models, spec, precisions, id, scratch, step)


def _fill(
    models: Sequence[Model],
    spec: InputSpec,
    precisions: Sequence[str],
    id: str,  # noqa: A002
    scratch: Path,
    step: Step,
) -> Manifest:
    first = models[0].manifest
    subfolders = _subfolders(models)
    for model, subfolder in zip(models, subfolders, strict=True):
        step(f"{model.folder.name}: weights and graphs")
        _copy(model, precisions, scratch / subfolder)
    step("golden clip through PyTorch")
    (scratch / LABELS).write_text("\n".join(models[0].labels) + "\n", encoding="utf-8")
    networks = Networks([network for model in models for network in open_networks(model).members], spec)
    clip = moving_grating(spec)
    write_golden(scratch, clip, networks(clip))
    step("hashes and manifest")
    files = records(scratch, sorted(p.relative_to(scratch).as_posix() for p in scratch.rglob("*") if p.is_file()))
    manifest = Manifest(
        digest=UNSEALED,
        id=id,
        input=spec,
        members=tuple(
            model.manifest.members[0].model_copy(update={"weights": f"{sub}/{model.manifest.members[0].weights}"})
            for model, sub in zip(models, subfolders, strict=True)
        ),
        classes=first.classes,
        labels_sha256=files[LABELS].sha256,
        background=first.background,
        precisions={name: _build(models, subfolders, name) for name in precisions},
        tools=tools(),
        files=files,
    )
    return measure_golden(scratch, manifest, precisions, step)


def _check_alike(models: Sequence[Model]) -> None:
    """Check that the networks read the same frames and that their logits can be added. ModelError: they differ."""
    if len(models) < 2:
        given = ", ".join(str(model.folder) for model in models) or "none"
        raise ModelError(f"an ensemble needs two model folders or more, got {len(models)}: {given}")
    for model in models:
        count = len(model.manifest.members)
        if count > 1:
            raise ModelError(
                f"{model.folder / MANIFEST}: members: {count} networks, allowed is 1; it is an ensemble itself: use "
                "the folders that it was made of"
            )
    first = models[0]
    for model in models[1:]:
        _check_labels(first, model)
        for key in SAME_INPUT:
            value, required = getattr(model.manifest.input, key), getattr(first.manifest.input, key)
            if value != required:
                raise ModelError(
                    f"{model.folder / MANIFEST}: input.{key} is {value!r}, but {first.folder} has {required!r}; the "
                    "networks of an ensemble read the same frames: train and convert all of them alike"
                )


def _check_labels(first: Model, model: Model) -> None:
    """Check that both folders have the same labels in the same order. ModelError: they differ."""
    if len(model.labels) != len(first.labels):
        raise ModelError(
            f"{model.folder / LABELS}: {len(model.labels)} labels, but {first.folder} has {len(first.labels)}; the "
            "logits of an ensemble are added: all its networks need the same labels"
        )
    for number, (label, required) in enumerate(zip(model.labels, first.labels, strict=True), 1):
        if label != required:
            raise ModelError(
                f"{model.folder / LABELS}:{number}: {label!r}, but {first.folder} has {required!r}; the logits of an "
                "ensemble are added: all its networks need the same labels in the same order"
            )
    if set(model.manifest.background) != set(first.manifest.background):
        raise ModelError(
            f"{model.folder / MANIFEST}: background is {list(model.manifest.background)}, but {first.folder} has "
            f"{list(first.manifest.background)}; convert both with the same --background"
        )


def _input(models: Sequence[Model], segment_stride: int) -> InputSpec:
    """Return the ensemble's input. ModelError: the networks' clips have no common grid."""
    shortest = min(models, key=lambda model: model.manifest.input.segments)
    t = shortest.manifest.input.segments
    for model in models:
        segments = model.manifest.input.segments
        if segments % t:
            raise ModelError(
                f"{model.folder / MANIFEST}: input.segments is {segments}, allowed are multiples of {t}, the "
                f"smallest of the ensemble ({shortest.folder})"
            )
    per_segment = tuple(model.manifest.input.segments // t for model in models)
    stride = _chosen_stride(segment_stride, t, per_segment) if segment_stride else _common_stride(models, shortest)
    try:
        return InputSpec.model_validate(
            shortest.manifest.input.model_dump() | {"per_segment": per_segment, "segment_stride": stride}
        )
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(k) for k in fault["loc"]) or "input"
        raise ModelError(
            f"these folders cannot form an ensemble: {key}: {fault['msg']}, got {fault['input']!r}"
        ) from error


def _chosen_stride(stride: int, t: int, per_segment: Sequence[int]) -> int:
    """Return `stride` if it gives every network a whole stride. ModelError: it does not."""
    for count in per_segment:
        if stride % count:
            raise ModelError(
                f"--segment-stride {stride}: the network of {t * count} segments would need one every "
                f"{stride}/{count} frames; allowed are multiples of {math.lcm(*per_segment)}"
            )
    return stride


def _common_stride(models: Sequence[Model], shortest: Model) -> int:
    """Return the folders' own stride. ModelError: their clips do not span the same time."""
    t, stride = shortest.manifest.input.segments, shortest.manifest.input.segment_stride
    for model in models:
        spec = model.manifest.input
        if spec.segments * spec.segment_stride != t * stride:
            multiple = math.lcm(*(other.manifest.input.segments // t for other in models))
            raise ModelError(
                f"{model.folder / MANIFEST}: input.segment_stride is {spec.segment_stride}: {spec.segments} segments "
                f"span {spec.segments * spec.segment_stride} frames, but those of {shortest.folder} span "
                f"{t} * {stride} = {t * stride}; all clips of an ensemble span the same time. The graphs "
                f"do not depend on strides: set that of the {t} segments with --segment-stride N, a "
                f"multiple of {multiple}; the others follow"
            )
    return stride


def _shared_precisions(models: Sequence[Model]) -> tuple[str, ...]:
    """Return the precisions that every folder has, in the order of the first. ModelError: there is none."""
    shared = tuple(
        name
        for name in (models[0].manifest.precisions if models else ())
        if all(name in model.manifest.precisions for model in models)
    )
    if models and not shared:
        each = "; ".join(f"{model.folder}: {', '.join(model.manifest.precisions)}" for model in models)
        raise ModelError(f"no precision that every folder has ({each}); convert them with the same --precisions")
    return shared


def _subfolders(models: Sequence[Model]) -> list[str]:
    """Return a name for each network's folder: t8, t16; for a repeated T t8, t8-2."""
    names: list[str] = []
    for model in models:
        name = f"t{model.manifest.input.segments}"
        same = sum(n.split("-")[0] == name for n in names)
        names.append(f"{name}-{same + 1}" if same else name)
    return names


def _copy(model: Model, precisions: Sequence[str], folder: Path) -> None:
    """Copy a network's verified weights and graphs; labels, golden clip and reports are left behind."""
    graphs = [path for name in precisions for path in _paths(model.build(name).graphs[0])]
    stems = {PurePosixPath(path).with_suffix("") for path in graphs}  # the weights of encoder.xml are in encoder.bin
    beside = [path for path in model.manifest.files if PurePosixPath(path).with_suffix("") in stems]
    for path in {model.manifest.members[0].weights, *graphs, *beside}:
        content = model.read(path)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _paths(graphs: Graphs) -> tuple[str, str]:
    return graphs.encoder, graphs.head


def _build(models: Sequence[Model], subfolders: Sequence[str], precision: str) -> Build:
    """Return one precision of all networks. Until its golden error is measured, it is the sum of the networks' own."""
    builds = [model.build(precision) for model in models]
    graphs = []
    for build, subfolder in zip(builds, subfolders, strict=True):
        encoder, head = (f"{subfolder}/{path}" for path in _paths(build.graphs[0]))
        graphs.append(build.graphs[0].model_copy(update={"encoder": encoder, "head": head}))
    errors = [build.golden_error for build in builds]
    known = [error for error in errors if error is not None]
    together = min(WORST_GOLDEN_ERROR, sum(known)) if len(known) == len(errors) else None
    return Build(format=builds[0].format, graphs=tuple(graphs), golden_error=together)
