"""Turn frames into segments of five: sampling on a fixed grid, motion gate, resizing."""
