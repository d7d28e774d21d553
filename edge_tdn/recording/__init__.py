"""Record snapshots and clips of actions."""
