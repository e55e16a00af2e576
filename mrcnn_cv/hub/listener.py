"""Who is told what a pull does. Apart, since the code that pulls takes its time to import."""

from __future__ import annotations


class PullListener:
    """Told what a pull does; the methods do nothing here."""

    def note(self, text: str) -> None:
        """Something that a user may want to know."""

    def progress(self, done: int, total: int) -> None:
        """So many bytes of the archive are here."""
