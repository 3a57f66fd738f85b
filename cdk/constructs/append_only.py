"""A resource policy that lets nobody change or remove what a table holds.

No role of the platform has the rights that it refuses. It is for those who have all rights: whoever wants to rewrite
history must first take the policy away, which is recorded and told (stacks/audit.py).
"""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk import names

REFUSED = (
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PartiQLDelete",
)
"""PutItem can replace an item too, and IAM cannot tell whether a put has a condition: that is the code's part."""

REPLICATION = "aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication"
"""The role in which DynamoDB replicates. It must be refused nothing: a replica that it cannot write to becomes a table
of its own after 20 hours, for good (DynamoDB's documentation, "Global tables security")."""


def append_only(scope: Construct, table: str) -> iam.PolicyDocument:
    """The policy of a table in the scope's region."""
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=list(REFUSED),
                resources=[names.table_arn(scope, table)],
                conditions={
                    "ArnNotEquals": {"aws:PrincipalArn": names.role_arn(Stack.of(scope), REPLICATION)},
                    # What AWS's services do as themselves, without any role.
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                },
            )
        ]
    )
