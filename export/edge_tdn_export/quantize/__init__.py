"""Quantise a model folder to INT8 within limits on its accuracy."""
