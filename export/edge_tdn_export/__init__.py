"""What turns PyTorch weights into what a camera host runs, and proves it equal. Imports torch; no host needs it."""

import os

os.environ.setdefault("NNCF_CI", "1")  # NNCF would report its use to its vendor over the network
