"""Errors a caller of the API can meet; each maps to one response, `payments/rest/problems.py` says how."""

from dataclasses import dataclass


@dataclass
class PaymentsError(Exception):
    """Base of all errors with an answer to the caller. Messages are fixed sentences: they never echo input."""

    code: str
    message: str
    param: str | None = None
    payment_id: str | None = None

    type = "api_error"
    status = 500
    passing = False
    """Whether the same request may succeed a moment later."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InvalidRequest(PaymentsError):
    """The request is malformed or breaks a rule of the API; nothing was done."""

    type, status = "invalid_request_error", 400


class BodyTooLarge(PaymentsError):
    """The request's body is larger than the API reads."""

    type, status = "invalid_request_error", 413


class PermissionDenied(PaymentsError):
    """Nobody vouches for the caller."""

    type, status = "permission_error", 403


class NotFound(PaymentsError):
    """There is no such thing, or it belongs to another merchant: the two look the same."""

    type, status = "invalid_request_error", 404


class IdempotencyKeyReused(PaymentsError):
    """The idempotency key was used before with another request (IETF idempotency-key draft: 422)."""

    type, status = "idempotency_error", 422


class Conflict(PaymentsError):
    """The payment is in a state that does not allow this."""

    type, status = "invalid_request_error", 409


class PaymentBusy(PaymentsError):
    """Others changed the payment at the same time; nothing was done."""

    type, status, passing = "api_error", 409, True


class Busy(PaymentsError):
    """Others are at work on what this is about; nothing was done."""

    type, status, passing = "api_error", 409, True


class CardDeclined(PaymentsError):
    """The card is invalid, or the charge was blocked."""

    type, status = "card_error", 402


class ProcessingFailed(PaymentsError):
    """A fault on our side; the same request with the same key finishes the same payment."""

    type, status, passing = "api_error", 503, True
