"""Physical names, and the ARNs made of them. Stacks refer to one another by these, never by exports."""

from aws_cdk import ArnFormat, Stack
from constructs import Construct

PAYMENTS = "payments"
LEDGER = "ledger"
MERCHANTS = "merchants"
SHARDS = "shards"
BALANCES = "balances"
FRAUD_PROFILES = "fraud-profiles"
VAULT_TOKENS = "vault-tokens"

PENDING_INDEX = "pending"

BUS = "payments"
SAGA = "payments-charge"
API = "payments"
API_STAGE = "live"
ALARM_TOPIC = "payments-alarms"
VAULT_KEY_ALIAS = "alias/payments-vault-tokens"

NETWORK_QUEUE = "payments-network"
FANOUT_QUEUE = "payments-webhooks-fanout"
DELIVERY_QUEUE = "payments-webhooks-deliver"


def dead_letters(worker: str) -> str:
    """Name of a worker's dead-letter queue."""
    return f"{worker}-dead"


DEAD_LETTER_QUEUES = tuple(
    dead_letters(worker) for worker in (NETWORK_QUEUE, FANOUT_QUEUE, DELIVERY_QUEUE, "payments-projector")
)


def table_arn(scope: Construct, table: str) -> str:
    """ARN of a table in the scope's region."""
    return _arn(scope, "dynamodb", "table", table)


def index_arn(scope: Construct, table: str, index: str) -> str:
    """ARN of a table's index in the scope's region."""
    return f"{table_arn(scope, table)}/index/{index}"


def function_arn(scope: Construct, function: str, region: str | None = None) -> str:
    """ARN of a function, by default in the scope's region."""
    return _arn(scope, "lambda", "function", function, ArnFormat.COLON_RESOURCE_NAME, region)


def bus_arn(scope: Construct) -> str:
    """ARN of the event bus in the scope's region."""
    return _arn(scope, "events", "event-bus", BUS)


def saga_arn(scope: Construct) -> str:
    """ARN of the charge saga in the scope's region."""
    return _arn(scope, "states", "stateMachine", SAGA, ArnFormat.COLON_RESOURCE_NAME)


def alarm_topic_arn(scope: Construct) -> str:
    """ARN of the topic that alarms go to, in the scope's region."""
    return _arn(scope, "sns", ALARM_TOPIC, arn_format=ArnFormat.NO_RESOURCE_NAME)


def vault_key_alias_arn(scope: Construct, region: str) -> str:
    """ARN of the alias of the vault table's key in a region."""
    return _arn(scope, "kms", VAULT_KEY_ALIAS, arn_format=ArnFormat.NO_RESOURCE_NAME, region=region)


def _arn(
    scope: Construct,
    service: str,
    resource: str,
    name: str | None = None,
    arn_format: ArnFormat = ArnFormat.SLASH_RESOURCE_NAME,
    region: str | None = None,
) -> str:
    return Stack.of(scope).format_arn(
        service=service, resource=resource, resource_name=name, arn_format=arn_format, region=region
    )
