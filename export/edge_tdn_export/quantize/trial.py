"""A quantised model on disk: written into the scratch folder, measured as a host runs it, and moved into its place."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import openvino as ov

from edge_tdn.errors import ModelError, last_line
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import golden_error, scores
from edge_tdn.manifest import MANIFEST, WORST_GOLDEN_ERROR, Build, Manifest, Model, dump, records, seal
from edge_tdn_export.convert.model_folder import check_unchanged, clear_scratch, files_of, scratch_of, write_at_once
from edge_tdn_export.quantize.agreement import Agreement
from edge_tdn_export.quantize.clip_split import ClipSet
from edge_tdn_export.quantize.compiled import GraphMap
from edge_tdn_export.quantize.graph_rewrites import features_in_8_bits, quantise_behind_views
from edge_tdn_export.quantize.inputs import QuantizationInputs
from edge_tdn_export.quantize.operators import Operator

NAME = "int8"  # of the precision, and of its folder
Moves = list[tuple[Path, Path]]  # source and target of folders


@dataclass(frozen=True, eq=False)
class Trial:
    """Quantised graphs, the files they were written to, and their agreement with FP32 on the held-out clips."""

    graphs: GraphMap  # as NNCF returned them
    exceptions: tuple[Operator, ...]  # in floating point
    bias_correction: bool
    model: Model  # the model folder with the written graphs as its precision "int8"
    folder: Path  # of the written graphs, with one subfolder per network
    agreement: Agreement


def write_trial(
    inputs: QuantizationInputs, graphs: GraphMap, exceptions: Sequence[Operator], bias_correction: bool, what: str
) -> Trial:
    """Write graphs into a new folder below `inputs.scratch` and measure them as a host runs them."""
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=inputs.scratch))
    model = _with_int8(inputs.model, _write(inputs.model, graphs, folder))
    with closing(open_runtime(model, NAME)) as runtime:
        agreement = inputs.held_out.agreement(lambda clip: scores(runtime, clip), what, inputs.progress)
    return Trial(graphs, tuple(exceptions), bias_correction, model, folder, agreement)


def measure_golden_error(trial: Trial) -> float:
    """Return the golden clip's error, relative to the largest logit. ModelError: a host would refuse the model."""
    with closing(open_runtime(trial.model, NAME)) as runtime:
        error = golden_error(trial.model, runtime)
    if not error <= WORST_GOLDEN_ERROR:
        raise ModelError(
            f"{trial.model.folder}: in INT8 the golden clip's logits differ from PyTorch's by {error:.2g} of the "
            f"largest, allowed {WORST_GOLDEN_ERROR:g}; nothing written; a lower --limit kl= brings them nearer"
        )
    return error


def final_manifest(model: Model, trial: Trial, calibration: ClipSet, golden_error: float) -> tuple[Manifest, Moves]:
    """Return the sealed manifest with the trial as precision "int8", and the moves that make it true.

    OSError: a calibration video cannot be read any more.
    """
    source, old = trial.model.manifest, model.manifest
    targets = _targets(model)
    graphs = [
        own.model_copy(update={"encoder": f"{target}/encoder.xml", "head": f"{target}/head.xml"})
        for own, target in zip(source.precisions[NAME].graphs, targets, strict=True)
    ]
    build = Build(
        format="openvino",
        graphs=tuple(graphs),
        golden_error=golden_error,
        calibrated_on=calibration.videos,
        calibrated_sha256=calibration.hashes(),
    )
    files = {name: record for name, record in old.files.items() if name not in _int8_files(old)}
    for before, after in zip(files_of(source.precisions[NAME]), files_of(build), strict=True):
        files[after] = source.files[before]
    manifest = old.model_copy(
        update={
            "precisions": old.precisions | {NAME: build},
            "parity": {name: parity for name, parity in old.parity.items() if name != NAME},
            "tools": old.tools | {"nncf": version("nncf")},
            "files": dict(sorted(files.items())),
        }
    )
    moves = [(trial.folder / str(number), model.folder / target) for number, target in enumerate(targets)]
    return seal(manifest), moves


def commit(model: Model, manifest: Manifest, moves: Moves) -> None:
    """Move the graphs to paths that the current manifest does not name, then replace the manifest atomically.

    Until then the folder is what it was, afterwards it is the new one; an older int8 is removed last.
    """
    path, content = model.folder / MANIFEST, dump(manifest)
    check_unchanged(model)
    try:
        for source, target in moves:
            source.rename(target)
        write_at_once(path, content)
    except BaseException:
        if path.read_bytes() != content:  # a signal can arrive just after the manifest was replaced
            for _, target in moves:
                shutil.rmtree(target, ignore_errors=True)
        raise
    for old in {PurePosixPath(name).parent for name in _int8_files(model.manifest)}:
        if old.name.startswith(NAME):
            shutil.rmtree(model.folder / old, ignore_errors=True)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder inside the model folder and remove it, as those of processes that were killed.

    ModelError: the model folder is not writable, or the disk is full.
    """
    scratch = scratch_of(folder / NAME)
    try:
        clear_scratch(folder, NAME)
        scratch.mkdir()
    except OSError as error:
        raise ModelError(f"{folder}: {error.strerror}; int8 is written into the model folder") from error
    try:
        yield scratch
    except (OSError, RuntimeError) as error:  # OpenVINO raises RuntimeError when the disk is full
        raise ModelError(f"{folder}: {last_line(error)}; nothing written; is the disk full?") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(model: Model, graphs: GraphMap, folder: Path) -> Build:
    """Rewrite the graphs to run faster and save them. Their golden error is still unknown: the largest allowed."""
    builds = []
    for number, own in enumerate(model.build("fp32").graphs):
        encoder, head = graphs[number, "encoder"].clone(), graphs[number, "head"].clone()
        scales = features_in_8_bits(encoder, head)
        (folder / str(number)).mkdir()
        paths = {}
        for half, graph in (("encoder", encoder), ("head", head)):
            quantise_behind_views(graph)
            path = folder / str(number) / f"{half}.xml"
            ov.save_model(graph, path, compress_to_fp16=False)
            paths[half] = path.relative_to(model.folder).as_posix()
        builds.append(own.model_copy(update={**paths, "scales": scales}))
    return Build(format="openvino", graphs=tuple(builds), golden_error=WORST_GOLDEN_ERROR)


def _with_int8(model: Model, build: Build) -> Model:
    """Return the model with another precision "int8", without touching its manifest on disk."""
    update = {
        "precisions": model.manifest.precisions | {NAME: build},
        "files": model.manifest.files | records(model.folder, files_of(build)),
    }
    return Model(model.folder, model.manifest.model_copy(update=update), model.sha256, model.labels)


def _targets(model: Model) -> list[str]:
    """Return an unused folder for each network, beside its fp32: int8, or int8-2 where that exists."""
    targets: list[str] = []
    for graphs in model.build("fp32").graphs:
        beside = PurePosixPath(graphs.encoder).parent.parent
        names = (str(beside / (NAME if n == 1 else f"{NAME}-{n}")) for n in range(1, 1000))
        targets.append(next(name for name in names if name not in targets and not (model.folder / name).exists()))
    return targets


def _int8_files(manifest: Manifest) -> list[str]:
    """Return the files of the precision "int8" that a manifest has already."""
    return files_of(manifest.precisions[NAME]) if NAME in manifest.precisions else []
