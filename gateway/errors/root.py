"""What all errors have in common."""

from typing import ClassVar


class GatewayError(Exception):
    """Something went wrong.

    `code` is stable and meant for programs, `kind` groups codes, `retry_after_s` is when trying again makes sense.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    kind: ClassVar[str] = "api_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        status: int | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().partition("\n")[0]
        self.code = code or type(self).code
        self.http_status = status or type(self).status
        self.retry_after_s = retry_after_s
        self.headers = headers or {}
        super().__init__(self.message)
