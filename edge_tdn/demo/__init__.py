"""What `edge-tdn demo` needs besides the daemon: a drawn clip and an embedded broker."""
