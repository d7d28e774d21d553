"""The process itself: logging, heartbeats, signals, memory allocation and systemd notifications."""
