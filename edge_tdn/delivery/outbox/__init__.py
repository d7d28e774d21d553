"""The outbox: events on disk until the broker has acknowledged them."""
