"""The names of entries in the published checkpoints, and ours."""

import re
from collections.abc import Mapping

from torch import Tensor

IGNORED = re.compile(r"base_model\.conv1_temp\.")  # entries of the published files that no layer uses

# published name -> ours, applied in this order
PUBLISHED = (
    (r"^base_model\.conv1_5\.0\.", "stdm.conv."),
    (r"^base_model\.conv1_5\.1\.", "stdm.bn."),
    (r"^base_model\.resnext_layer1\.", "stdm.res2."),
    (r"^base_model\.layer1_bak\.", "res2."),
    (r"^base_model\.layer2_bak\.", "res3."),
    (r"^base_model\.layer3_bak\.", "res4."),
    (r"^base_model\.layer4_bak\.", "res5."),
    (r"^base_model\.(conv1|bn1)\.", r"\1."),
    (r"^new_fc\.", "linear."),
    (r"\.mse\.conv1\.", ".ltdm.squeeze."),
    (r"\.mse\.bn1\.", ".ltdm.squeeze_bn."),
    (r"\.mse\.conv2\.", ".ltdm.smooth."),
    (r"\.mse\.conv3_smallscale2\.", ".ltdm.coarse."),
    (r"\.mse\.bn3_smallscale2\.", ".ltdm.coarse_bn."),
    (r"\.mse\.conv3_smallscale4\.", ".ltdm.fine."),
    (r"\.mse\.bn3_smallscale4\.", ".ltdm.fine_bn."),
    (r"\.mse\.conv3\.", ".ltdm.expand."),
    (r"\.mse\.bn3\.", ".ltdm.expand_bn."),
    (r"\.shift\.conv\.", ".temporal."),
)


def our_name(name: str) -> str:
    """Return our name of a published one; a name that matches no rule stays; empty: an entry that no layer uses."""
    if IGNORED.match(name):
        return ""
    for pattern, replacement in PUBLISHED:
        name = re.sub(pattern, replacement, name)
    return name


def published_name(name: str) -> str:
    """Return the published name of one of ours."""
    for pattern, ours in reversed(PUBLISHED):
        if "(" in pattern:  # of conv1 and bn1
            name = re.sub(r"^(conv1|bn1)\.", r"base_model.\1.", name)
            continue
        anchor = "^" if pattern.startswith("^") else ""
        name = re.sub(anchor + re.escape(ours), re.sub(r"[\\^]", "", pattern), name)
    return name


def rename_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map published names to ours. Names that match no rule stay and are reported as unexpected by `check`."""
    return {ours: value for name, value in state.items() if (ours := our_name(name))}
