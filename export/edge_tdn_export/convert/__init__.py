"""Convert PyTorch weights to a model folder."""
