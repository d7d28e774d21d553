"""The TDN in full precision, its checkpoints and its input."""
