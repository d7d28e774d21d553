"""Read frames from cameras, files and URLs, in real time, and reconnect when a live source fails."""
