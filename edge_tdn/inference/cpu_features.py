"""The cost of a processor without AVX-512, VNNI or BF16: everything still runs, but slower.

The kernels that OpenVINO chose show what it could use, whatever kept it from better ones; only VNNI does not appear in
their names. The figures are CPU seconds of the ResNet-50 head (T = 8, 224x224) with `ONEDNN_MAX_CPU_ISA` lowered,
relative to those of a processor that has everything, medians of three.
"""

from collections.abc import Collection
from pathlib import Path

VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}  # Linux's names
NO_AVX512 = "the processor has no AVX-512: about 1.7 times the time of one that has"
EMULATED_BF16 = "the processor emulates BF16: about 2.5 times the time of fp32, which is the better choice"
INT8 = {  # (AVX-512, VNNI) -> warning
    (True, True): "",
    (True, False): "the processor has no VNNI, INT8's dot product: about 1.7 times the time of one that has",
    (False, True): "the processor has no AVX-512: about 1.8 times the time of one that has",
    (False, False): "the processor has neither AVX-512 nor VNNI, INT8's dot product: about 3 times the time",
}


def slow_processor(precision: str, kernels: Collection[str], flags: Collection[str]) -> str:
    """Return what the processor lacks for a precision, and what that costs; empty if it lacks nothing known.

    `kernels`: OpenVINO's names, such as brgconv_avx512_I8; `flags`: see `cpu_flags`.
    """
    if not any(x86 in kernel for kernel in kernels for x86 in ("sse", "avx")):
        return ""  # not an x86 processor
    wide = any("avx512" in kernel for kernel in kernels)
    if precision == "bf16":
        return "" if _has(kernels, "bf16") else EMULATED_BF16
    if precision == "int8":
        return INT8[wide, _has(kernels, "I8") and not (flags and VNNI.isdisjoint(flags))]
    return "" if wide else NO_AVX512


def cpu_flags() -> frozenset[str]:
    """Return the processor's instruction sets by Linux's names; empty where /proc/cpuinfo does not list them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    listed = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))  # x86, ARM
    return frozenset(next(listed, ()))


def _has(kernels: Collection[str], kind: str) -> bool:
    """Return whether OpenVINO chose fast kernels for a type; their substitutes are named jit_ or gemm_."""
    return any(kernel.startswith("brg") and kernel.endswith(f"_{kind}") for kernel in kernels)
