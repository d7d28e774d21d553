"""edge-tdn: recognises actions in live cameras and publishes them as MQTT events."""

__version__ = "0.1.0"
