"""Who asks."""

import msgspec
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from payments.merchants import FraudLimits, Merchant, Terms


def merchant(event: APIGatewayProxyEvent) -> Merchant:
    """The merchant API Gateway's authorizer vouches for."""
    context = event.request_context.authorizer
    terms = msgspec.json.decode(context["terms"], type=Terms) if context.get("terms") else Terms()
    limits = msgspec.json.decode(context["fraud_limits"], type=FraudLimits) if context.get("fraud_limits") else None
    return Merchant(str(context["merchant_id"]), int(context["shard"]), terms, limits or FraudLimits())
