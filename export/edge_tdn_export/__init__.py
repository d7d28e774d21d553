"""Convert PyTorch weights to model folders for the camera host, and compare both. Imports torch; hosts do not."""

import os

os.environ.setdefault("NNCF_CI", "1")  # disables NNCF's telemetry, which sends usage data to its vendor
