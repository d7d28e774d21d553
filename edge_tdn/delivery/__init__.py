"""Deliver events and retained states to the MQTT broker, and receive commands."""
