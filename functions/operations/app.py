"""Lambda `payments-operations`: the operators' REST API behind API Gateway, which authorizes by IAM.

Guide: docs/operators_api.md.
"""

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from functions.operations import conflicts, discrepancies, failover, fraud, fraud_models, reports, reviews
from payments.errors import NotFound
from payments.observability import logger
from payments.rest import problems

app = APIGatewayRestResolver()
for room in (reports, discrepancies, reviews, conflicts, fraud, fraud_models, failover):
    app.include_router(room.router)
app.exception_handler(Exception)(lambda error: problems.response(error, app.current_event.request_context.request_id))
app.not_found(
    lambda _: problems.response(
        NotFound("unknown_path", "There is no such resource."), app.current_event.request_context.request_id
    )
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers one API Gateway proxy event."""
    answer = app.resolve(event, context)
    logger.info("request", extra={"route": event.get("resource"), "status": answer["statusCode"]})
    return answer
