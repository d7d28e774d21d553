"""The training loop, its initial weights, its run folder and its distributed context."""
