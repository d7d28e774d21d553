"""`edge-tdn doctor`: check the configuration, the model, the broker, the cameras and this host."""
