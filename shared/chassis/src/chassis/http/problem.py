"""Errors of the HTTP APIs as problem details (RFC 9457)."""

from contracts.message import Reason


class Problem(Exception):  # noqa: N818 - named as in RFC 9457
    """An answer that is not what the caller hoped for, sent as `application/problem+json`."""

    def __init__(self, status: int, title: str, detail: str = "", reasons: tuple[Reason, ...] = ()) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail
        self.reasons = reasons
