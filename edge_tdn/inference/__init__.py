"""Run the network: encode each segment once, classify the last T, and schedule many cameras on one runtime."""

import sys

# `import openvino` would send usage data over the internet and load TensorFlow's reader (5 MB). It skips both when
# these modules cannot be imported.
for _module in ("openvino_telemetry", "openvino.tools.ovc"):
    sys.modules.setdefault(_module, None)  # type: ignore[arg-type]
