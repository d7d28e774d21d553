"""The API for programs that subscribe to action events."""
