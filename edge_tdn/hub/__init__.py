"""Between the daemon and its page: what it publishes for readers in this process, and what it answers them."""
