"""Who asks."""

import msgspec
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from payments.merchants import Merchant, Terms


def merchant(event: APIGatewayProxyEvent) -> Merchant:
    """The merchant API Gateway's authorizer vouches for."""
    context = event.request_context.authorizer
    terms = msgspec.json.decode(context["terms"], type=Terms) if context.get("terms") else Terms()
    return Merchant(str(context["merchant_id"]), int(context["shard"]), terms)
