"""Simulated RTSP and HTTP cameras with faults, for trying a configuration."""
