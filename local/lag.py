"""How far the regions are apart in time."""

from pathlib import Path


class Lag:
    """The replication lag, settable while running through a file."""

    def __init__(self, default_ms: int, file: Path | None = None):
        self._default, self._file = default_ms, file

    def milliseconds(self) -> int:
        """The lag that applies now."""
        try:
            text = self._file.read_text().strip() if self._file else ""
        except FileNotFoundError:
            return self._default
        return int(text) if text.isdecimal() else self._default
