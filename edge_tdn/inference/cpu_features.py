"""What a processor lacks, and what that costs: without AVX-512, VNNI or BF16 everything still runs, but slower.

The kernels that OpenVINO chose tell it, whatever kept it from better ones; only VNNI does not show in their names. The
figures are CPU seconds of the ResNet-50 head (T = 8, 224x224) with `ONEDNN_MAX_CPU_ISA` lowered, against those of a
processor that has everything, medians of three.
"""

from collections.abc import Collection
from pathlib import Path

VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}  # as Linux names them
NO_AVX512 = "the processor has no AVX-512: about 1.7 times the time of one that has"
EMULATED_BF16 = "the processor emulates BF16: about 2.5 times the time of fp32, which is the better choice"
INT8 = {  # AVX-512, VNNI -> what is lost
    (True, True): "",
    (True, False): "the processor has no VNNI, INT8's dot product: about 1.7 times the time of one that has",
    (False, True): "the processor has no AVX-512: about 1.8 times the time of one that has",
    (False, False): "the processor has neither AVX-512 nor VNNI, INT8's dot product: about 3 times the time",
}


def lost(precision: str, kernels: Collection[str], flags: Collection[str]) -> str:
    """What the processor lacks for a precision, as a sentence; empty: nothing that is known.

    `kernels`: OpenVINO's names, such as brgconv_avx512_I8; `flags`: as `cpu_flags`.
    """
    if not any(x86 in kernel for kernel in kernels for x86 in ("sse", "avx")):
        return ""  # another kind of processor
    wide = any("avx512" in kernel for kernel in kernels)
    if precision == "bf16":
        return "" if _has(kernels, "bf16") else EMULATED_BF16
    if precision == "int8":
        return INT8[wide, _has(kernels, "I8") and not (flags and VNNI.isdisjoint(flags))]
    return "" if wide else NO_AVX512


def cpu_flags() -> frozenset[str]:
    """The processor's instruction sets in Linux's names; empty where it does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def _has(kernels: Collection[str], kind: str) -> bool:
    """Whether the fast kernels of a type were chosen; those that stand in for them are named jit_ or gemm_."""
    return any(kernel.startswith("brg") and kernel.endswith(f"_{kind}") for kernel in kernels)
