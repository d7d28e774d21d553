"""The page over many hours: `make soak`."""
