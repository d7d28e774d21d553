"""The numbers of a camera's events."""


class EventNumbers:
    """Counts the events of one camera, whichever zone they are of. Belongs to the thread that decides."""

    def __init__(self, last: int = 0) -> None:
        """`last`: the number that was used last, 0 before the first event."""
        self.last = last
        self._published = last

    def take(self) -> int:
        """Return the next number."""
        self.last += 1
        return self.last

    def published(self, number: int) -> None:
        """Report that the event of this number was published."""
        self._published = number

    def rewind(self) -> None:
        """Use the numbers again that were taken for events which were not published: there must be no gap."""
        self.last = self._published
