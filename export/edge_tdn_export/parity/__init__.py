"""Compare an exported model with the full-precision network, node by node."""
