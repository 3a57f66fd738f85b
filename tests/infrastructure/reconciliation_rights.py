"""The rights of reconciliation's roles and of the operators' API, as short texts: action and resource, without what is
the same for all (partition, account, region, the bucket's name)."""

STEPS = ("begin", "ingest", "compact", "match", "report")

SETTLEMENTS = "table/settlements"

RIGHTS = {
    "BeginRole": {f"dynamodb:{right} {SETTLEMENTS}" for right in ("GetItem", "PutItem", "UpdateItem")},
    "IngestRole": {
        *(f"dynamodb:{right} {SETTLEMENTS}" for right in ("GetItem", "PutItem", "UpdateItem")),
        "s3:ListBucket bucket",
        *(f"s3:GetObject {prefix}/*" for prefix in ("inbox", "runs")),
        *(f"s3:PutObject {prefix}/*" for prefix in ("files", "runs")),
    },
    "CompactRole": {
        *(f"dynamodb:{right} {SETTLEMENTS}" for right in ("GetItem", "UpdateItem")),
        "s3:ListBucket bucket",
        *(f"s3:GetObject {prefix}/*" for prefix in ("feed", "runs")),
        *(f"s3:PutObject {prefix}/*" for prefix in ("facts", "runs")),
        "s3:DeleteObject feed/*",
    },
    "MatchRole": {
        *(f"dynamodb:{right} {SETTLEMENTS}" for right in ("DeleteItem", "GetItem", "Query", "UpdateItem")),
        "dynamodb:GetItem table/shards",
        "s3:ListBucket bucket",
        *(f"s3:GetObject {prefix}/*" for prefix in ("config", "facts", "files", "resolutions", "runs", "state")),
        *(f"s3:PutObject {prefix}/*" for prefix in ("runs", "state")),
        "lambda:InvokeFunction function:payments-ledger-book",
        "lambda:InvokeFunction function:payments-ledger-command",
    },
    "ReportRole": {
        *(f"dynamodb:{right} {SETTLEMENTS}" for right in ("GetItem", "PutItem", "UpdateItem")),
        "dynamodb:Query table/balances",
        "s3:ListBucket bucket",
        *(f"s3:GetObject {prefix}/*" for prefix in ("feed", "runs")),
        "s3:PutObject runs/*",
    },
    "MachineRole": {
        *(f"lambda:InvokeFunction function:payments-reconciliation-{step}" for step in STEPS),
        "states:StartExecution stateMachine:payments-reconciliation",
        "states:DescribeExecution execution:payments-reconciliation:*",
        "states:StopExecution execution:payments-reconciliation:*",
        "states:RedriveExecution execution:payments-reconciliation/*",
    },
    "MachineEventsRole": {"states:StartExecution <Machine>"},
    "OperationsRole": {
        *(
            f"dynamodb:{right} {SETTLEMENTS}"
            for right in (
                "BatchGetItem",
                "ConditionCheckItem",
                "DeleteItem",
                "GetItem",
                "PutItem",
                "Query",
                "UpdateItem",
            )
        ),
        f"dynamodb:Query {SETTLEMENTS}/index/unmatched",
        *(f"dynamodb:{right} table/payments" for right in ("BatchGetItem", "GetItem", "PutItem")),
        "dynamodb:Query table/payments/index/review",
        "dynamodb:BatchGetItem table/shards",
        "dynamodb:GetItem table/shards",
        "dynamodb:PutItem table/shards",
        *(f"dynamodb:{right} table/fraud-rules" for right in ("GetItem", "PutItem", "Query")),
        "s3:ListBucket fraud-bucket",
        *(f"s3:GetObject fraud-{prefix}/*" for prefix in ("models", "reports")),
        "s3:ListBucket bucket",
        "s3:GetObject runs/*",
        "s3:PutObject resolutions/*",
        "lambda:InvokeFunction function:payments-ledger-book",
        "lambda:InvokeFunction function:payments-ledger-command",
    },
}
"""Everything that these roles may do, but for traces and logs."""
