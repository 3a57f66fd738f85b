"""Who asks."""

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from functions.operations.settings import settings
from payments.errors import PermissionDenied

_LOCAL = "local"


def operator(event: APIGatewayProxyEvent) -> str:
    """The ARN of the user or role session that API Gateway has authorized (IAM).

    On the local cloud, which knows nobody, it is `local`. Raises `PermissionDenied` when nobody vouches for the caller.
    """
    identity = event.raw_event["requestContext"].get("identity") or {}
    if arn := identity.get("userArn"):
        return str(arn)
    if settings().environment == _LOCAL:
        return _LOCAL
    raise PermissionDenied("operator_unknown", "Sign the request with credentials that may operate the platform.")
