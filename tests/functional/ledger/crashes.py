"""Crashes on purpose: the process dies at its n-th call to the outside, before the call or after it took effect."""

from contextlib import contextmanager

from botocore.client import BaseClient


class Crash(BaseException):
    """The process is gone: nothing in the platform may catch this."""


class Crashes:
    """Counts calls to AWS and to the card network, and dies at the one it was told to."""

    def __init__(self, monkeypatch):
        self._left, self._after, self._instead = None, False, None
        call = BaseClient._make_api_call

        def counted(client, operation, arguments):
            with self.point():
                return call(client, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", counted)

    @contextmanager
    def point(self):
        """A place where the process may die."""
        dies = self._left == 0
        if self._left is not None:
            self._left -= 1
        if dies and self._instead:
            self._left, self._instead = None, self._instead()
            dies = False
        if dies and not self._after:
            raise Crash
        yield
        if dies:
            raise Crash

    @contextmanager
    def at(self, number, after):
        """Within this, die at call `number` (from 0), after it took effect or before; None: live."""
        self._left, self._after = number, after
        try:
            yield
        finally:
            self._left = None

    @contextmanager
    def meanwhile(self, number, work):
        """Within this, somebody else does this work before call `number`."""
        self._left, self._after, self._instead = number, False, lambda: work() and None
        try:
            yield
        finally:
            self._left, self._instead = None, None

    def run(self, number, after, work):
        """Whether the work survived, and what it gave."""
        try:
            with self.at(number, after):
                return True, work()
        except Crash:
            return False, None
