"""The commands of `edge-tdn`, one file each."""
