"""Simulated RTSP cameras with faults, for trying a configuration."""
