"""Shared by tests: real counterparts (broker, cameras, daemon), builders, and one way to wait."""
