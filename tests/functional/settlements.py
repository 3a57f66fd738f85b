"""The table `settlements` on moto, with the index of what is open."""

from payments import clients


def make_table():
    clients.client("dynamodb").create_table(
        TableName="settlements",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("network_ref", "line", "open", "open_since")
        ],
        KeySchema=[
            {"AttributeName": "network_ref", "KeyType": "HASH"},
            {"AttributeName": "line", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "unmatched",
                "KeySchema": [
                    {"AttributeName": "open", "KeyType": "HASH"},
                    {"AttributeName": "open_since", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
