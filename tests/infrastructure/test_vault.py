"""The vault's network: no way in, one way out."""

from tests.infrastructure.policies import many
from tests.infrastructure.synthesis import Synthesized


def test_nothing_leads_to_the_internet(deployment: Synthesized) -> None:
    for kind in ("InternetGateway", "NatGateway", "EgressOnlyInternetGateway", "VPCGatewayAttachment", "EIP", "Route"):
        assert not list(deployment.of_type(f"AWS::EC2::{kind}")), kind
    for path, subnet in deployment.of_type("AWS::EC2::Subnet"):
        assert subnet["Properties"]["MapPublicIpOnLaunch"] is False, path


def test_every_vault_function_runs_there_and_no_other(deployment: Synthesized) -> None:
    for name, function in deployment.functions().items():
        assert ("VpcConfig" in function) == ("-vault-" in name), name
        if "VpcConfig" in function:
            assert len(function["VpcConfig"]["SubnetIds"]) == 3, name
            assert len(function["VpcConfig"]["SecurityGroupIds"]) == 1, name


def test_the_one_endpoint_leads_to_the_vault_table_only(deployment: Synthesized) -> None:
    endpoints = [endpoint["Properties"] for _, endpoint in deployment.of_type("AWS::EC2::VPCEndpoint")]

    assert len(endpoints) == 2
    for endpoint in endpoints:
        assert endpoint["VpcEndpointType"] == "Gateway"
        assert "dynamodb" in str(endpoint["ServiceName"])
        (statement,) = endpoint["PolicyDocument"]["Statement"]
        assert [arn.rsplit(":", 1)[-1] for arn in many(statement["Resource"])] == ["table/vault-tokens"]
        assert set(statement["Action"]) == {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}


def test_the_security_group_lets_nothing_in_and_only_dynamodb_out(deployment: Synthesized) -> None:
    groups = [group["Properties"] for _, group in deployment.of_type("AWS::EC2::SecurityGroup")]

    assert len(groups) == 2
    for group in groups:
        assert "SecurityGroupIngress" not in group
        (rule,) = group["SecurityGroupEgress"]
        assert rule["DestinationPrefixListId"].startswith("pl-")
        assert "CidrIp" not in rule
        assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    assert not list(deployment.of_type("AWS::EC2::SecurityGroupIngress"))
