"""The daemon: cameras, commands, reload and metrics, put together."""
