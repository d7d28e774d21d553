"""The commands of `edge-tdn-train`, one file each."""
