"""Fixtures of many tests: the folders of real data, a real broker, small videos."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from edge_tdn.inference.openvino import processor_can
from edge_tdn.manifest import Model, open_model, shipped_models
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture
from edge_tdn.process import passwords
from tests.support.broker import Mosquitto
from tests.support.rtsp import RtspCamera
from tests.support.waiting import PROGRAM_S

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a shared machine is slow at times, and tests do not measure speed
# A suite that runs in the background or under nohup inherits ignored signals, which its programs would inherit too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
ROOT = Path(__file__).parent.parent
HAS_BF16 = processor_can("bf16")
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="this processor does not compute in BF16")
# The files that take longest, by what a run has measured: they start first, so that none runs alone at the end.
LONG = (
    "system/test_soak.py",
    "test_damaged_models.py",
    "export/convert/test_convert_command.py",
    "export/quantize/test_quantize.py",
    "system/test_wheel.py",
    "web/test_fuzz.py",
    "system/test_chain.py",  # short: pytest-xdist gives it to the worker of the first file, which has one test
    "export/convert/test_convert.py",
    "training/commands/test_next_steps.py",
    "browser/test_attacks.py",
    "export/parity/test_compare.py",
    "inference/test_cuda.py",
    "inference/test_runtime.py",
    "system/test_document_commands.py",
    "training/loop/test_resume.py",
    "training/frozen/test_features.py",
    "export/quantize/test_replaced.py",
    "cli/test_replay.py",
    "cli/test_demo.py",
    "system/test_chaos_cameras.py",
    "process/test_program.py",
    "export/network/test_tdn.py",
)
BITS = 8  # of a frame's number, as dark and bright columns of its picture


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the test run, which all workers of pytest-xdist share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # workers have folders of one parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; all others keep their order."""
    place = {ROOT / "tests" / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the tests a cache of compiled models, one for all workers, and an outbox folder of their own."""
    os.environ["CACHE_DIRECTORY"] = str(run_folder(tmp_path_factory) / "compiled")
    os.environ["STATE_DIRECTORY"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def _signal_handlers_are_kept() -> Iterator[None]:
    """Assert that no test leaves a handler of its own for Ctrl-C: `edge-tdn run` needs a process of its own."""
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture(autouse=True)
def _hidden_passwords_are_forgotten() -> Iterator[None]:
    """Forget the passwords of the test that ends: another one may use such a word in what it reads."""
    before = dict(passwords._hidden)
    yield
    passwords._hidden.clear()
    passwords._hidden.update(before)


def without_the_processor(lines: Iterable[str]) -> list[str]:
    """Return the log lines except those about missing features of this machine's processor."""
    return [line for line in lines if " the processor " not in line]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real clips; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("EDGE_TDN_DATA", ROOT / "../shared/data")).resolve()
    if not (folder / "videos").is_dir():
        pytest.skip(f"no real clips at {folder}: set EDGE_TDN_DATA")
    return folder


@pytest.fixture(scope="session")
def reference(data: Path) -> Path:
    """The folder of the published implementation's key lists and golden logits."""
    folder = data.parent / "reference"
    if not (folder / "golden.json").is_file():
        pytest.skip(f"no golden logits at {folder}")
    return folder


@pytest.fixture(scope="session")
def published(reference: Path) -> ModuleType:
    """The script that rebuilds the reference weights and clips."""
    return reference_script(reference)


def reference_script(folder: Path) -> ModuleType:
    """reference_state.py of the reference folder, as a module."""
    spec = importlib.util.spec_from_file_location("reference_state", folder / "reference_state.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference_network(folder: Path, variant: str, config: Any) -> Any:
    """Return a network with the weights of reference_state.py, as for `tdn_resnet50_8f_174c`, in evaluation mode."""
    import torch
    from edge_tdn_export.network import checkpoint
    from edge_tdn_export.network.published_names import rename_published
    from edge_tdn_export.network.tdn import TDN

    state = reference_script(folder).state_dict(variant)
    tensors = {name: torch.from_numpy(value) for name, value in state.items() if value.shape}
    model = TDN(config)
    checkpoint.fill(model, rename_published(tensors), folder)
    return model.eval()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks gain nothing from a second thread, and lose much on a busy processor."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def gpu() -> None:
    """Tests marked `cuda` are skipped where PyTorch finds no GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip(f"no GPU: PyTorch {torch.__version__} finds no CUDA device")


@pytest.fixture(scope="session")
def motion() -> Model:
    """The shipped model."""
    return open_model(shipped_models() / "motion")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A small network and its model folder, a `tests.support.exports.SmallModel`; the tests must not change it."""
    from tests.support.exports import build_small_model  # imports torch

    small = build_small_model(tmp_path_factory)
    yield small
    open_model(small.folder)  # still as the manifest describes it


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """The shipped model's folder, to be damaged."""
    return Path(shutil.copytree(shipped_models() / "motion", tmp_path / "model"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real mosquitto, one for each test."""
    mosquitto = Mosquitto(tmp_path)
    yield mosquitto
    mosquitto.stop()


@pytest.fixture
def rtsp() -> Iterator[Callable[..., RtspCamera]]:
    """Return a function that starts an RtspCamera; all are killed after the test."""
    pytest.importorskip("gi").require_version("GstRtspServer", "1.0")
    cameras: list[RtspCamera] = []

    def start(password: str = "", source: str = "test:", *options: str) -> RtspCamera:
        cameras.append(RtspCamera(password, source, *options))
        return cameras[-1]

    yield start
    for camera in cameras:
        camera.kill()


def _numbered(number: int, height: int, width: int) -> Picture:
    bits = np.array([number >> k & 1 for k in range(BITS)])
    columns = np.repeat(30 + 190 * bits, -(-width // BITS))[:width]
    return np.broadcast_to(columns[None, :, None], (height, width, 3)).astype(np.uint8)


def number_in(picture: Picture) -> int:
    """Return the number shown by a frame of `make_video`, after any codec and resizing."""
    middles = (np.arange(BITS) + 0.5) * picture.shape[1] / BITS
    return sum(int(picture[:, int(x)].mean() > 125) << k for k, x in enumerate(middles))


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an MP4 whose frame n shows its number; see `number_in`."""

    def make(frames: int = 30, rate: int = 15, height: int = 96, width: int = 128, name: str = "video.mp4") -> Path:
        write_video((_numbered(n, height, width) for n in range(frames)), rate, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def edge_tdn() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the real command line, as in `edge_tdn("check", "--config", path)`."""

    def run(
        *arguments: str | Path, timeout: float = PROGRAM_S, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge_tdn", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd)

    return run
