"""`POST /api/v1/payments/{payment_id}/capture` and `…/void`: what becomes of an authorized amount."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import commands, requests
from functions.api.operations import Operation, describes
from functions.api.resources import Payment

router = APIGatewayRouter()


@router.post("/api/v1/payments/<payment_id>/capture")
@describes(
    Operation(
        answers={200: Payment},
        errors=commands.ERRORS_WITH_AMOUNT,
        body=requests.CaptureRequest,
        path={"payment_id": requests.PaymentId},
        headers=commands.HEADERS,
        answer_headers=commands.ANSWER_HEADERS,
    )
)
def capture(payment_id: str) -> Response[Any]:
    """Capture an authorized amount.

    All that is left of it, or a part. A payment may be captured in several parts, up to what was authorized.
    """
    return commands.carry_out(router.current_event, "capture", payment_id, requests.CaptureRequest)


@router.post("/api/v1/payments/<payment_id>/void")
@describes(
    Operation(
        answers={200: Payment},
        errors=commands.ERRORS,
        body=requests.VoidRequest,
        body_required=False,
        path={"payment_id": requests.PaymentId},
        headers=commands.HEADERS,
        answer_headers=commands.ANSWER_HEADERS,
    )
)
def void(payment_id: str) -> Response[Any]:
    """Release what is authorized and not captured.

    What was captured stays; a payment of which nothing was captured is then canceled.
    """
    return commands.carry_out(router.current_event, "void", payment_id, requests.VoidRequest)
