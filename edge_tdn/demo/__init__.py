"""The drawn clip and the embedded broker of `edge-tdn demo`."""
