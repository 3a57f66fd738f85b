"""The stream of a global table's replica, whose ARN nothing in the replica's region knows."""

from aws_cdk import Stack, custom_resources
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk import names
from cdk.constructs.nag import acknowledge


def replica_stream_arn(scope: Construct, construct_id: str, table: str) -> str:
    """Ask DynamoDB for the stream of a replica, which another region's stack made."""
    describe = custom_resources.AwsSdkCall(
        service="DynamoDB",
        action="DescribeTable",
        parameters={"TableName": table},
        output_paths=["Table.LatestStreamArn"],
        physical_resource_id=custom_resources.PhysicalResourceId.of(f"{table}-stream"),
    )
    lookup = custom_resources.AwsCustomResource(
        scope,
        construct_id,
        on_create=describe,
        on_update=describe,
        install_latest_aws_sdk=False,
        policy=custom_resources.AwsCustomResourcePolicy.from_statements(
            [iam.PolicyStatement(actions=["dynamodb:DescribeTable"], resources=[names.table_arn(scope, table)])]
        ),
    )
    provider = f"AWS{custom_resources.AwsCustomResource.PROVIDER_FUNCTION_UUID.replace('-', '')}"
    acknowledge(
        Stack.of(scope).node.find_child(provider),
        "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
        "CDK's own provider function, which runs during deployments only",
    )
    return lookup.get_response_field("Table.LatestStreamArn")
