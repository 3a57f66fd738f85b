"""What functions read from their environment, for benchmarks that run a handler in this process. Import it first."""

import os

_SETTINGS = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "ENVIRONMENT": "local",
    "POWERTOOLS_SERVICE_NAME": "bench",
    "VAULT_TABLE": "vault-tokens",
    "CARD_KEYS_TABLE": "vault-card-keys",
    "RECONCILIATION_BUCKET": "payments-reconciliation",
    "KEY_STORE": "file:/nowhere",
    "DELIVERY_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/deliver",
}

for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
