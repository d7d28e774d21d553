"""Run the network: encode each segment once, classify the last T, and schedule many cameras on one runtime."""

import sys

# `import openvino` reports itself to its maker over the internet, unless the first of these is not there, and brings
# TensorFlow's reader along, 5 MB, unless the second is not.
for _module in ("openvino_telemetry", "openvino.tools.ovc"):
    sys.modules.setdefault(_module, None)  # type: ignore[arg-type]
