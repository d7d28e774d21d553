"""The options and the help of the commands of `edge-tdn-train`, one file each. They are complete without PyTorch."""
