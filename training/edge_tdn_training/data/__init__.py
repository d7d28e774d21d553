"""Data sets of videos: labels, splits, decoding, sampling and augmentation."""
