"""What `ctx`, `req` and `res` of a script raise."""

from __future__ import annotations


class ScriptError(Exception):
    """What `ctx` and `res` raise."""


class AnsweredTwice(ScriptError):
    """The script has answered already. A request has one answer."""


class Refused(ScriptError):
    """The gateway would not do it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        """A stable name, as in the list of errors."""
        self.message = message


class FetchFailed(ScriptError):
    """There was no answer: the egress policy refused, the host is not there, or it took too long."""


class TooLarge(ScriptError):
    """More came than the limit of the call allows."""


class StreamBroken(ScriptError):
    """The answer of a model did not come to its end, or is none of its wire."""
