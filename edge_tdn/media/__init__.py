"""GStreamer, colour conversion and video encoding, shared by capture and recording."""
