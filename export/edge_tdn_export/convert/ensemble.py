"""Several model folders -> one, whose networks share a stream and whose logits are added: the paper's 8 + 16.

Every network keeps its own T and sees the frames that the published sampling takes for it. The folder's T is the
smallest of them, its stride that network's; a segment of the folder then holds `per_segment` segments of each network,
and all clips span the same time. Strides are no part of the graphs: an ensemble may choose others than its folders.
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
from edge_tdn_export.convert.convert import Step, check_id, moving_grating, prove_golden, tools, write_golden
from edge_tdn_export.convert.model_folder import whole_or_nothing
from edge_tdn_export.network.reference import Networks, open_networks

SAME_INPUT = ("height", "width", "resize", "short_side", "frame_rate", "mean", "std")  # one picture for all networks


def steps(folders: Sequence[Path]) -> int:
    """How many steps `ensemble` reports."""
    return len(folders) + 2 + len(_shared_precisions([open_model(folder) for folder in folders]))


def ensemble(
    folders: Sequence[Path],
    out: Path,
    *,
    id: str,  # noqa: A002 (what the manifest calls it)
    segment_stride: int = 0,
    step: Step = lambda _: None,
) -> Manifest:
    """Writes the model folder `out`, whole or not at all, and tries every precision on its golden clip.

    `segment_stride`: of the smallest T, in frames; the others follow. 0: the folders' own.
    ModelError: `out` exists, a folder is damaged, or the folders do not fit each other.
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
    return prove_golden(scratch, manifest, precisions, step)


def _check_alike(models: Sequence[Model]) -> None:
    """ModelError: the networks could not look at the same pictures, or their logits not be added."""
    if len(models) < 2:
        named = ", ".join(str(model.folder) for model in models) or "none"
        raise ModelError(f"an ensemble needs two model folders or more, got {len(models)}: {named}")
    for model in models:
        count = len(model.manifest.members)
        if count > 1:
            raise ModelError(
                f"{model.folder / MANIFEST}: members: {count} networks, allowed is 1; it is an ensemble itself: name "
                "the folders that it was made of"
            )
    first = models[0]
    for model in models[1:]:
        _check_labels(first, model)
        for key in SAME_INPUT:
            value, wanted = getattr(model.manifest.input, key), getattr(first.manifest.input, key)
            if value != wanted:
                raise ModelError(
                    f"{model.folder / MANIFEST}: input.{key} is {value!r}, but {first.folder} has {wanted!r}; networks "
                    "of an ensemble see the same pictures: only models trained and converted alike can form one"
                )


def _check_labels(first: Model, model: Model) -> None:
    if len(model.labels) != len(first.labels):
        raise ModelError(
            f"{model.folder / LABELS}: {len(model.labels)} labels, but {first.folder} has {len(first.labels)}; the "
            "logits of an ensemble are added: all its networks need the same labels"
        )
    for number, (label, wanted) in enumerate(zip(model.labels, first.labels, strict=True), 1):
        if label != wanted:
            raise ModelError(
                f"{model.folder / LABELS}:{number}: {label!r}, but {first.folder} has {wanted!r}; the logits of an "
                "ensemble are added: all its networks need the same labels in the same order"
            )
    if set(model.manifest.background) != set(first.manifest.background):
        raise ModelError(
            f"{model.folder / MANIFEST}: background is {list(model.manifest.background)}, but {first.folder} has "
            f"{list(first.manifest.background)}; convert both with the same --background"
        )


def _input(models: Sequence[Model], segment_stride: int) -> InputSpec:
    """What the ensemble sees. ModelError: the networks' clips have no common grid."""
    shortest = min(models, key=lambda model: model.manifest.input.segments)
    least = shortest.manifest.input.segments
    for model in models:
        segments = model.manifest.input.segments
        if segments % least:
            raise ModelError(
                f"{model.folder / MANIFEST}: input.segments is {segments}, allowed are multiples of {least}, the "
                f"smallest of the ensemble ({shortest.folder})"
            )
    per_segment = tuple(model.manifest.input.segments // least for model in models)
    stride = _chosen_stride(segment_stride, least, per_segment) if segment_stride else _common_stride(models, shortest)
    try:
        return InputSpec.model_validate(
            shortest.manifest.input.model_dump() | {"per_segment": per_segment, "segment_stride": stride}
        )
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(k) for k in fault["loc"]) or "input"
        raise ModelError(f"no such ensemble: {key}: {fault['msg']}, got {fault['input']!r}") from error


def _chosen_stride(stride: int, least: int, per_segment: Sequence[int]) -> int:
    for count in per_segment:
        if stride % count:
            raise ModelError(
                f"--segment-stride {stride}: the network of {least * count} segments would need one every "
                f"{stride}/{count} frames; allowed are multiples of {math.lcm(*per_segment)}"
            )
    return stride


def _common_stride(models: Sequence[Model], shortest: Model) -> int:
    """The folders' own. ModelError: their clips do not span the same time."""
    least, stride = shortest.manifest.input.segments, shortest.manifest.input.segment_stride
    for model in models:
        spec = model.manifest.input
        if spec.segments * spec.segment_stride != least * stride:
            multiple = math.lcm(*(other.manifest.input.segments // least for other in models))
            raise ModelError(
                f"{model.folder / MANIFEST}: input.segment_stride is {spec.segment_stride}: {spec.segments} segments "
                f"span {spec.segments * spec.segment_stride} frames, but those of {shortest.folder} span "
                f"{least} * {stride} = {least * stride}; an ensemble's clips span the same time. Strides are no part "
                f"of the graphs: set that of the {least} segments with --segment-stride N, a multiple of {multiple}, "
                "and the others follow"
            )
    return stride


def _shared_precisions(models: Sequence[Model]) -> tuple[str, ...]:
    """Those that every folder has, in the order of the first one's. ModelError: there is none."""
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
    """A name for each network's folder: t8, t16; where T repeats t8, t8-2."""
    names: list[str] = []
    for model in models:
        name = f"t{model.manifest.input.segments}"
        same = sum(n.split("-")[0] == name for n in names)
        names.append(f"{name}-{same + 1}" if same else name)
    return names


def _copy(model: Model, precisions: Sequence[str], folder: Path) -> None:
    """The network's weights and graphs, as verified; what the ensemble has of its own, and reports, stay behind."""
    graphs = [path for name in precisions for path in _paths(model.build(name).graphs[0])]
    stems = {PurePosixPath(path).with_suffix("") for path in graphs}  # encoder.xml has its weights in encoder.bin
    beside = [path for path in model.manifest.files if PurePosixPath(path).with_suffix("") in stems]
    for path in {model.manifest.members[0].weights, *graphs, *beside}:
        content = model.read(path)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _paths(graphs: Graphs) -> tuple[str, str]:
    return graphs.encoder, graphs.head


def _build(models: Sequence[Model], subfolders: Sequence[str], precision: str) -> Build:
    """One precision of all networks. Its golden error is measured later; until then, the networks' own added up."""
    builds = [model.build(precision) for model in models]
    graphs = []
    for build, subfolder in zip(builds, subfolders, strict=True):
        encoder, head = (f"{subfolder}/{path}" for path in _paths(build.graphs[0]))
        graphs.append(build.graphs[0].model_copy(update={"encoder": encoder, "head": head}))
    errors = [build.golden_error for build in builds]
    known = [error for error in errors if error is not None]
    together = min(WORST_GOLDEN_ERROR, sum(known)) if len(known) == len(errors) else None
    return Build(format=builds[0].format, graphs=tuple(graphs), golden_error=together)
