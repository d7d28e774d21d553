"""The scenes and the embedded broker of `edge-tdn demo`."""
