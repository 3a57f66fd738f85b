"""Shared by all tests: a fixed, harmless environment, set before anything of the platform is imported."""

import os

os.environ.update(
    AWS_REGION="us-east-1",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    ENVIRONMENT="local",
    POWERTOOLS_SERVICE_NAME="payments",
    REGIONS='{"us-east-1": "", "us-west-2": ""}',
    EVENT_BUS="payments",
    ARCHIVE_BUCKET="payments-ledger-archive",
    RECONCILIATION_BUCKET="payments-reconciliation",
    CHARGE_STATE_MACHINE_ARN="arn:aws:states:us-east-1:123456789012:stateMachine:payments-charge",
    PUBLIC_KEY_FUNCTION="payments-vault-public-key",
    STORE_FUNCTION="payments-vault-store",
    SHRED_FUNCTION="payments-vault-shred",
    COMMAND_FUNCTION="payments-ledger-command",
    BOOK_FUNCTION="payments-ledger-book",
    DETOKENIZE_FUNCTION="payments-vault-detokenize",
    AWS_LAMBDA_FUNCTION_NAME="payments-api",
    RAW_CARDS_ALLOWED="true",
    CARD_NETWORK_URL="http://127.0.0.1:1",
    DELIVERY_QUEUE_URL="https://sqs.us-east-1.amazonaws.com/123456789012/payments-webhooks-deliver",
    PRIVATE_ENDPOINTS_ALLOWED="true",
    FRAUD_PROFILES_TABLE="fraud-profiles",
    FRAUD_SCORES_TABLE="fraud-scores",
    FRAUD_MODELS_BUCKET="payments-fraud-models",
    SHIPPED_MODEL="lightgbm-000000000000",
    VAULT_TABLE="vault-tokens",
    CARD_KEYS_TABLE="vault-card-keys",
)
