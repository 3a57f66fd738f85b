"""A global table's replica, seen from its own region, where no stack defines it."""

from aws_cdk import Stack, custom_resources
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk import names
from cdk.constructs.nag import acknowledge


def replica_stream_arn(scope: Construct, construct_id: str, table: str) -> str:
    """Ask DynamoDB for the stream of a replica, whose ARN carries a time stamp."""
    path = "Table.LatestStreamArn"
    call = _call("DescribeTable", {"TableName": table}, path, f"{table}-stream")
    return _resource(scope, construct_id, table, call).get_response_field(path)


def replica_policy(scope: Construct, construct_id: str, table: str, policy: iam.PolicyDocument) -> None:
    """Give a replica a resource policy.

    The table's own definition cannot: CloudFormation does not make a replica in another region and its policy in the
    same update (DynamoDB's documentation, "Resource-based policy considerations"). When the stack goes, the policy
    stays, as the table does.
    """
    document = Stack.of(scope).to_json_string(policy.to_json())
    parameters = {"ResourceArn": names.table_arn(scope, table), "Policy": document}
    _resource(scope, construct_id, table, _call("PutResourcePolicy", parameters, "RevisionId", f"{table}-policy"))


def _call(action: str, parameters: dict[str, str], path: str, physical_id: str) -> custom_resources.AwsSdkCall:
    return custom_resources.AwsSdkCall(
        service="DynamoDB",
        action=action,
        parameters=parameters,
        output_paths=[path],
        physical_resource_id=custom_resources.PhysicalResourceId.of(physical_id),
    )


def _resource(
    scope: Construct, construct_id: str, table: str, call: custom_resources.AwsSdkCall
) -> custom_resources.AwsCustomResource:
    right = iam.PolicyStatement(actions=[f"dynamodb:{call.action}"], resources=[names.table_arn(scope, table)])
    resource = custom_resources.AwsCustomResource(
        scope,
        construct_id,
        on_create=call,
        on_update=call,
        install_latest_aws_sdk=False,
        policy=custom_resources.AwsCustomResourcePolicy.from_statements([right]),
    )
    provider = f"AWS{custom_resources.AwsCustomResource.PROVIDER_FUNCTION_UUID.replace('-', '')}"
    acknowledge(
        Stack.of(scope).node.find_child(provider),
        "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
        "CDK's own provider function, which runs during deployments only",
    )
    return resource
