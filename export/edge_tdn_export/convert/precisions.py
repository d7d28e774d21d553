"""The precisions that `convert` writes, their file formats and folders. Imports no torch."""

from collections.abc import Sequence
from typing import Literal

PRECISIONS = ("fp32", "fp16", "bf16", "onnx", "cuda-fp32", "cuda-fp16", "cuda-bf16")
DEFAULT_PRECISIONS = ("fp32", "bf16")
SUFFIXES = {"openvino": ".xml", "onnx": ".onnx", "torch": ".pt2"}  # of a graph's file, by format


def format_of(precision: str) -> Literal["openvino", "onnx", "torch"]:
    """Return the file format of a precision's graphs."""
    if precision == "onnx":
        return "onnx"
    return "torch" if precision.startswith("cuda-") else "openvino"


def folder_of(precision: str, chosen: Sequence[str]) -> str:
    """Return the subfolder of a precision's graphs. BF16 runs the files of FP32, or of FP16 if only that is chosen."""
    if precision == "bf16":
        return "fp16" if "fp16" in chosen and "fp32" not in chosen else "fp32"
    return precision
