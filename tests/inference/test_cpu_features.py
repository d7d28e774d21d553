"""A processor that lacks instructions still serves, and a warning states the cost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_tdn.inference.cpu_features import EMULATED_BF16, INT8, NO_AVX512, cpu_flags, slow_processor
from tests.support.model_folders import edit_manifest

FLAGS = {"avx2", "avx512f", "avx512_vnni"}


@pytest.mark.parametrize(
    ("precision", "kernels", "flags", "warning"),
    [
        ("fp32", {"brgconv_avx512_f32", "gemm_mlas_f32"}, FLAGS, ""),
        (
            "fp32",
            {"brgconv_avx2_f32", "gemm_mlas_f32"},
            FLAGS,
            NO_AVX512,
        ),  # the kernels decide, since oneDNN may be limited
        ("fp16", {"brgconv_avx2_f32"}, {"avx2"}, NO_AVX512),
        ("bf16", {"brgconv_avx512_1x1_bf16"}, FLAGS, ""),
        ("bf16", {"jit_avx512_1x1_bf16", "jit_gemm_bf16"}, FLAGS, EMULATED_BF16),
        ("int8", {"brgconv_avx512_1x1_I8", "brgconv_avx512_f32"}, FLAGS, ""),
        ("int8", {"brgconv_avx512_1x1_I8"}, {"avx2", "avx512f"}, INT8[True, False]),
        ("int8", {"brgconv_avx2_I8", "brgconv_avx2_f32"}, {"avx2", "avx_vnni"}, INT8[False, True]),
        ("int8", {"jit_avx2_I8", "brgconv_avx2_f32"}, {"avx2", "avx_vnni"}, INT8[False, False]),
        ("int8", {"brgconv_avx512_1x1_I8"}, set(), ""),  # without /proc/cpuinfo nothing is known
        ("fp32", {"jit_asimd_f32", "gemm_acl_f32"}, set(), ""),  # another architecture
        ("fp32", set(), FLAGS, ""),
    ],
)
def test_the_warning_follows_from_the_kernels(precision: str, kernels: set[str], flags: set[str], warning: str) -> None:
    assert slow_processor(precision, kernels, flags) == warning


@pytest.mark.parametrize(
    ("precision", "limit", "warning"),
    [("fp32", "AVX2", NO_AVX512), ("bf16", "AVX512_CORE", EMULATED_BF16), ("fp32", "DEFAULT", "")],
)
def test_a_processor_that_lacks_instructions_serves_with_a_warning(
    precision: str, limit: str, warning: str, model_copy: Path, tmp_path: Path
) -> None:
    """oneDNN is limited to fewer instructions, and chooses the kernels of a processor that has no more."""
    if not {"avx512f", "avx512_bf16"} <= cpu_flags():
        pytest.skip("this processor lacks these instructions itself")
    edit_manifest(model_copy, lambda content: content["precisions"].update(bf16=content["precisions"]["fp32"]))
    config = tmp_path / "site.toml"
    runtime = f'[runtime]\nmodel = "model"\nprecision = "{precision}"\n'
    config.write_text(runtime + '[[camera]]\nname = "a"\nsource = "demo:"\n')
    command = [sys.executable, "-m", "edge_tdn", "check", "--config", str(config)]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{precision} on CPU, self-test passed" in done.stdout
    lines = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert len(lines) == (1 if warning else 0)
    assert warning in "".join(lines)
