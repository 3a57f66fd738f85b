"""Lambda `payments-api`: the merchants' REST API behind API Gateway. Contract: docs/interfaces.md."""

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from functions.api import balance, captures, charges, entries, health, listing, public_key, refunds, reports, tokens
from payments.errors import NotFound
from payments.observability import logger
from payments.rest import problems

app = APIGatewayRestResolver()
for room in (charges, listing, captures, refunds, balance, entries, reports, tokens, public_key, health):
    app.include_router(room.router)
app.exception_handler(Exception)(lambda error: problems.response(error, app.current_event.request_context.request_id))
app.not_found(
    lambda _: problems.response(
        NotFound("unknown_path", "There is no such resource."), app.current_event.request_context.request_id
    )
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers one API Gateway proxy event, also when this function's twin in another region sends it."""
    answer = app.resolve(event, context)
    logger.info("request", extra={"route": event.get("resource"), "status": answer["statusCode"]})
    return answer
