"""Turn scores into actions: thresholds, labels, groups and lengths. Pure: no clock, no I/O, no threads."""
