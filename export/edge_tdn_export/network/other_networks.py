"""Recognise the weights of networks that are not a TDN, by the names of their entries."""

import re
from collections.abc import Iterable

TDN_PARTS = re.compile(r"(^|\.)(conv1_5|layer[1-4]_bak|mse|stdm|ltdm)\.")  # published names, and ours
BACKBONE = re.compile(r"(^|\.)(layer[1-4]|res[2-5])\.\d+\.conv1\.")  # a ResNet's blocks, in any spelling
LAST_LAYER = re.compile(r"(^|\.)(new_fc|linear)\.bias$")
TSM = re.compile(r"(^|\.)layer[1-4]\.\d+\.conv1\.(conv\.)?net\.weight$")  # the temporal shift wraps the convolution
MMACTION = re.compile(r"(^|\.)layer[1-4]\.\d+\.conv1\.conv\.weight$")
TSN = re.compile(r"(^|\.)layer[1-4]\.\d+\.conv1\.weight$")
IMAGE = re.compile(r"^fc\.weight$")  # torchvision's classifier


def other_network(names: Iterable[str]) -> str:
    """Describe the network that weights of these names belong to; empty: a TDN, or nothing that is known."""
    known = list(names)
    if any(TDN_PARTS.search(name) for name in known):
        complete = any(LAST_LAYER.search(name) for name in known)
        return "" if complete else "a TDN, but its last layers are missing (`new_fc` or `linear`)"
    if found := _first(TSM, known):
        return f"a TSM network (`{found}`): no S-TDM, no L-TDM; edge-tdn runs TDN"
    if found := _first(IMAGE, known):
        return (
            f"an image network (`{found}`): a start for training (edge-tdn-train train --from), not a TDN, which has "
            "S-TDM and L-TDM"
        )
    if found := _first(MMACTION, known):
        return f"a network of mmaction2 (`{found}`): no S-TDM, no L-TDM; edge-tdn runs TDN"
    if found := _first(TSN, known):
        return f"a ResNet without temporal modules, such as TSN (`{found}`): no S-TDM, no L-TDM; edge-tdn runs TDN"
    return ""


def _first(pattern: re.Pattern[str], names: Iterable[str]) -> str:
    return next((name for name in names if pattern.search(name)), "")
