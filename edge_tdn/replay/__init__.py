"""A recording in place of a camera: its events, the same ones every time, and their picture."""
