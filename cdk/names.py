"""Physical names, and the ARNs made of them. Stacks refer to one another by these, never by exports."""

from aws_cdk import ArnFormat, Stack
from constructs import Construct

PAYMENTS = "payments"
LEDGER = "ledger"
MERCHANTS = "merchants"
SHARDS = "shards"
BALANCES = "balances"
ACCOUNTS = "accounts"
PROOFS = "proofs"
SETTLEMENTS = "settlements"
FRAUD_PROFILES = "fraud-profiles"
FRAUD_RULES = "fraud-rules"
FRAUD_SCORES = "fraud-scores"
VAULT_TOKENS = "vault-tokens"
VAULT_CARD_KEYS = "vault-card-keys"
VAULT_TABLES = (VAULT_TOKENS, VAULT_CARD_KEYS)

PENDING_INDEX = "pending"
MERCHANT_INDEX = "merchant"
REVIEW_INDEX = "review"
UNMATCHED_INDEX = "unmatched"

CONFLICT_KEYS = "pay_*#conflict"
ACKNOWLEDGEMENT_KEYS = "pay_*#conflict#acknowledged"
"""Keys of the payments table that are no payments: two requests under one id, and who has seen to that."""

BUS = "payments"
SAGA = "payments-charge"
BALANCE_CHECK = "payments-balance-check"
RECONCILIATION = "payments-reconciliation"
TRAINING = "payments-training"
TRAINING_MACHINE = "payments-fraud-training"
API = "payments"
OPERATIONS = "payments-operations"
"""The operators' function, and its API."""
API_STAGE = "live"
STORE_A_CARD = "/api/v1/tokens/POST"
CHARGE = "/api/v1/payments/charge/POST"
CHARGES_FAIL = "payments-charges-fail"
"""The alarm that takes a region's traffic away."""
ALARM_TOPIC = "payments-alarms"
DETOKENIZE = "payments-vault-detokenize"
SHRED = "payments-vault-shred"
SHREDDER = "payments-vault-shredder"
OPERATORS_OWN = ("payments-vault-keys", "payments-vault-walk")
"""Functions that nobody but an operator has a reason to call."""
COMMAND = "payments-ledger-command"
BOOK = "payments-ledger-book"
PROJECTOR = "payments-projector"
NOTARY = "payments-notary"
AUDIT = "payments-ledger-audit"
WATCHMAN = "payments-watchman"
FRAUD_LABELS = "payments-fraud-labels"
CONFLICTS = "payments-conflicts"
CRYPTO_USER = "payments/vault/crypto-user"
PROFILE_DIGEST_KEY = "payments/fraud/profile-digest-key"

NETWORK_QUEUE = "payments-network"
FANOUT_QUEUE = "payments-webhooks-fanout"
DELIVERY_QUEUE = "payments-webhooks-deliver"

METRICS = "payments"
"""Namespace of the metrics that the functions write themselves. Those below have no dimensions."""
UNBALANCED = "UnbalancedJournals"
CONTRADICTIONS = "LedgerContradictions"
IDEMPOTENCY_CONFLICTS = "IdempotencyConflicts"
MATCH_RATE = "ReconciliationMatchRate"
AT_RISK = "ReconciliationAtRisk"
DRIFT = "ReconciliationDrift"
LASTING_DRIFT = "ReconciliationDriftLasting"
FILES_REFUSED = "SettlementFilesRefused"
FEED_DAMAGED = "FeedObjectsDamaged"
FEATURE_DRIFT = "FraudFeatureDrift"
WATCHMAN_ROUNDS = "WatchmanRounds"
REGIONS_JUDGED_DOWN = "RegionsJudgedDown"
AUTOMATIC_FAILOVERS = "AutomaticFailovers"
SHARD_MOVES_LATE = "ShardMovesLate"


def dead_letters(worker: str) -> str:
    """Name of a worker's dead-letter queue."""
    return f"{worker}-dead"


DEAD_LETTER_QUEUES = tuple(
    dead_letters(worker)
    for worker in (NETWORK_QUEUE, FANOUT_QUEUE, DELIVERY_QUEUE, PROJECTOR, SHREDDER, FRAUD_LABELS, CONFLICTS)
)


def table_arn(scope: Construct, table: str, region: str | None = None) -> str:
    """ARN of a table, by default in the scope's region."""
    return _arn(scope, "dynamodb", "table", table, region=region)


def index_arn(scope: Construct, table: str, index: str, region: str | None = None) -> str:
    """ARN of a table's index, by default in the scope's region."""
    return f"{table_arn(scope, table, region)}/index/{index}"


def function_arn(scope: Construct, function: str, region: str | None = None) -> str:
    """ARN of a function, by default in the scope's region."""
    return _arn(scope, "lambda", "function", function, ArnFormat.COLON_RESOURCE_NAME, region)


def bus_arn(scope: Construct) -> str:
    """ARN of the event bus in the scope's region."""
    return _arn(scope, "events", "event-bus", BUS)


def saga_arn(scope: Construct) -> str:
    """ARN of the charge saga in the scope's region."""
    return machine_arn(scope, SAGA)


def machine_arn(scope: Construct, machine: str) -> str:
    """ARN of a state machine in the scope's region."""
    return _arn(scope, "states", "stateMachine", machine, ArnFormat.COLON_RESOURCE_NAME)


def machine_runs(scope: Construct, machine: str, separator: str = ":") -> str:
    """ARN of all executions of a state machine in the scope's region; with ``/`` of all those of its map."""
    return _arn(scope, "states", "execution", f"{machine}{separator}*", ArnFormat.COLON_RESOURCE_NAME)


def archive(scope: Construct) -> str:
    """Name of the bucket that has the proof of the ledger's journals written in the scope's region."""
    stack = Stack.of(scope)
    return f"payments-ledger-archive-{stack.account}-{stack.region}"


def settlement_store(scope: Construct, region: str | None = None) -> str:
    """Name of reconciliation's bucket, by default in the scope's region."""
    stack = Stack.of(scope)
    return f"{RECONCILIATION}-{stack.account}-{region or stack.region}"


def settlement_objects(scope: Construct, *prefixes: str, region: str | None = None) -> list[str]:
    """ARNs of all objects below these prefixes (``feed/``) of reconciliation's bucket."""
    return [f"{settlement_store_arn(scope, region)}/{prefix}*" for prefix in prefixes]


def settlement_store_arn(scope: Construct, region: str | None = None) -> str:
    """ARN of reconciliation's bucket, by default in the scope's region."""
    return f"arn:{Stack.of(scope).partition}:s3:::{settlement_store(scope, region)}"


def fraud_models(scope: Construct, region: str | None = None) -> str:
    """Name of the bucket of fraud models, by default in the scope's region."""
    stack = Stack.of(scope)
    return f"payments-fraud-models-{stack.account}-{region or stack.region}"


def fraud_models_arn(scope: Construct, region: str | None = None) -> str:
    """ARN of the bucket of fraud models, by default in the scope's region."""
    return f"arn:{Stack.of(scope).partition}:s3:::{fraud_models(scope, region)}"


def alarm_topic_arn(scope: Construct) -> str:
    """ARN of the topic that alarms go to, in the scope's region."""
    return _arn(scope, "sns", ALARM_TOPIC, arn_format=ArnFormat.NO_RESOURCE_NAME)


def vault_key_alias(table: str) -> str:
    """Alias of the key that one of the vault's tables is encrypted under, the same in each region."""
    return f"alias/payments-{table}"


def vault_key_alias_arn(scope: Construct, table: str, region: str) -> str:
    """ARN of that alias in a region."""
    return _arn(scope, "kms", vault_key_alias(table), arn_format=ArnFormat.NO_RESOURCE_NAME, region=region)


def network_role(scope: Construct) -> str:
    """Name of the network worker's role in the scope's region. What watches the vault, and an organization's policies,
    must know it; IAM is global, so the region is part of it."""
    return f"payments-network-{Stack.of(scope).region}"


def api_role(scope: Construct) -> str:
    """Name of the role of ``payments-api`` in the scope's region, which the audit trail must know."""
    return f"payments-api-{Stack.of(scope).region}"


def notary_role(scope: Construct) -> str:
    """Name of the notary's role in the scope's region, the only one that may write to the archive."""
    return f"{NOTARY}-{Stack.of(scope).region}"


def sessions_of(scope: Construct, role: str) -> str:
    """Beginning of the ARN of whoever acts in a role."""
    return Stack.of(scope).format_arn(service="sts", region="", resource="assumed-role", resource_name=f"{role}/")


def network_role_arn(scope: Construct) -> str:
    """ARN of the one role that may see a card's number used: the network worker's."""
    return role_arn(scope, network_role(scope))


def notary_role_arn(scope: Construct) -> str:
    """ARN of the one role that may write to the archive."""
    return role_arn(scope, notary_role(scope))


def role_arn(scope: Construct, role: str) -> str:
    """ARN of a role, or of a role's path with a ``*``."""
    return Stack.of(scope).format_arn(service="iam", region="", resource="role", resource_name=role)


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
