"""The vault's walls: no way in, few ways out, its HSM cluster, and what feeds its shredder."""

import json

from cdk.config import REGIONS, VAULT_NETWORKS
from cdk.vault_rights import VAULT_RIGHTS, union
from tests.infrastructure.conftest import CLIENT_LAYER, KEY_STORE, RESTORED_GROUP
from tests.infrastructure.policies import many, text
from tests.infrastructure.synthesis import Synthesized

KEY_USERS = {f"payments-vault-{name}" for name, rights in VAULT_RIGHTS.items() if rights.opens_key_store}


def test_nothing_leads_to_the_internet(deployment: Synthesized) -> None:
    for kind in ("InternetGateway", "NatGateway", "EgressOnlyInternetGateway", "VPCGatewayAttachment", "EIP", "Route"):
        assert not list(deployment.of_type(f"AWS::EC2::{kind}")), kind
    for path, subnet in deployment.of_type("AWS::EC2::Subnet"):
        assert subnet["Properties"]["MapPublicIpOnLaunch"] is False, path


def test_the_regions_networks_can_be_peered(deployment: Synthesized) -> None:
    blocks = {path.split("/")[0]: vpc["Properties"]["CidrBlock"] for path, vpc in deployment.of_type("AWS::EC2::VPC")}

    assert blocks == VAULT_NETWORKS
    assert len(set(blocks.values())) == len(REGIONS)


def test_every_vault_function_runs_there_and_no_other(deployment: Synthesized) -> None:
    for name, function in deployment.functions().items():
        assert ("VpcConfig" in function) == ("-vault-" in name), name
        if "VpcConfig" in function:
            assert len(function["VpcConfig"]["SubnetIds"]) == 3, name
            (group,) = map(text, function["VpcConfig"]["SecurityGroupIds"])
            assert ("KeyUsers" in group) == (name.split("/")[1] in KEY_USERS), name


def test_the_endpoint_to_dynamodb_lets_only_the_vaults_rights_pass(deployment: Synthesized) -> None:
    gateways = [endpoint for endpoint in _endpoints(deployment) if endpoint["VpcEndpointType"] == "Gateway"]

    assert len(gateways) == len(REGIONS)
    for endpoint in gateways:
        assert "dynamodb" in text(endpoint["ServiceName"])
        allowed = {}
        for statement in endpoint["PolicyDocument"]["Statement"]:
            (arn,) = many(statement["Resource"])
            allowed[arn.rsplit("table/", 1)[-1]] = list(many(statement["Action"]))
        assert allowed == {table: union(table) for table in ("vault-tokens", "vault-card-keys")}
    assert not {"dynamodb:Query", "dynamodb:UpdateItem"} & set(union("vault-card-keys")), "made and deleted only"


def test_the_endpoint_to_secrets_leads_to_one_secret(production: Synthesized, local: Synthesized) -> None:
    interfaces = [endpoint for endpoint in _endpoints(production) if endpoint["VpcEndpointType"] == "Interface"]

    assert len(interfaces) == len(REGIONS)
    for endpoint in interfaces:
        assert endpoint["ServiceName"].endswith(".secretsmanager")
        (group,) = map(text, endpoint["SecurityGroupIds"])
        assert group.startswith("<NetworkSecretsEndpoint")
        (statement,) = endpoint["PolicyDocument"]["Statement"]
        assert many(statement["Action"]) == ("secretsmanager:GetSecretValue",)
        assert [arn[:14] for arn in many(statement["Resource"])] == ["<HsmCryptoUser"]
    assert len(_endpoints(local)) == len(REGIONS), "locally there is DynamoDB's only"


def test_no_group_lets_anybody_in_or_out_by_itself_but_to_dynamodb(deployment: Synthesized) -> None:
    for path, group in deployment.of_type("AWS::EC2::SecurityGroup"):
        assert "SecurityGroupIngress" not in group["Properties"], path
        (rule,) = group["Properties"]["SecurityGroupEgress"]
        if "SecretsEndpoint" in path:
            assert (rule["CidrIp"], rule["IpProtocol"]) == ("255.255.255.255/32", "icmp"), "CDK's rule to nowhere"
        else:
            assert rule["DestinationPrefixListId"].startswith("pl-"), path
            assert "CidrIp" not in rule, path
            assert (rule["FromPort"], rule["ToPort"]) == (443, 443), path


def test_who_opens_the_key_store_also_reaches_hsm_and_secret(production: Synthesized, local: Synthesized) -> None:
    ways = set()
    for end, here, there in (("Egress", "GroupId", "Destination"), ("Ingress", "Source", "GroupId")):
        here, there = (name if name == "GroupId" else f"{name}SecurityGroupId" for name in (here, there))
        for path, rule in production.of_type(f"AWS::EC2::SecurityGroup{end}"):
            properties = rule["Properties"]
            assert "NetworkKeyUsers" in text(properties[here]), path
            target = text(properties[there]).split(".")[0].rstrip(">")[: -8 if "<" in text(properties[there]) else None]
            ways.add((path.split("/")[0], end, target, properties["FromPort"], properties["ToPort"]))

    secrets, cluster = "<NetworkSecretsEndpoint", {"us-east-1": "<HsmCluster", "us-west-2": RESTORED_GROUP}
    assert ways == {
        (region, end, target, *ports)
        for region in REGIONS
        for end in ("Egress", "Ingress")
        for target, ports in ((secrets, (443, 443)), (cluster[region], (2223, 2225)))
    }
    for kind in ("SecurityGroupIngress", "SecurityGroupEgress"):
        assert not list(local.of_type(f"AWS::EC2::{kind}"))


def test_the_first_regions_cluster_is_a_resource_and_is_never_deleted(
    production: Synthesized, local: Synthesized
) -> None:
    """The second region's is restored from its backup, which CloudFormation cannot do."""
    ((path, cluster),) = production.of_type("AWS::CloudHSM::Cluster")

    assert path.startswith("us-east-1/vault-base/")
    assert cluster["DeletionPolicy"] == cluster["UpdateReplacePolicy"] == "Retain"
    assert cluster["Properties"]["Mode"] == "FIPS"
    assert len(cluster["Properties"]["SubnetIds"]) == 3
    assert not list(local.of_type("AWS::CloudHSM::Cluster"))


def test_the_key_store_finds_its_pin_in_the_regions_secret(production: Synthesized) -> None:
    for name, function in production.functions().items():
        if "-vault-" in name:
            uri, secret = text(function["Environment"]["Variables"]["KEY_STORE"]).split("&pin-source=")
            assert uri == KEY_STORE, name
            assert "HsmCryptoUser" in secret, name
    for path, secret in production.of_type("AWS::SecretsManager::Secret"):
        assert text(secret["Properties"]["KmsKeyId"]).startswith("<HsmSecretKey"), path
        assert secret["DeletionPolicy"] == "Retain", path


def test_who_opens_the_key_store_has_the_clients_layer(production: Synthesized, local: Synthesized) -> None:
    for name, function in production.functions().items():
        layers = [text(layer) for layer in function.get("Layers", ())]
        client = [layer for layer in layers if layer == CLIENT_LAYER or layer.startswith("<CloudHsmClient")]
        assert len(client) == (name.split("/")[1] in KEY_USERS), name
    assert "CloudHsmClient" not in str(local.templates)


def test_the_shredder_is_fed_with_shreddings_and_removals_only(deployment: Synthesized) -> None:
    sources = [
        source["Properties"]
        for path, source in deployment.of_type("AWS::Lambda::EventSourceMapping")
        if path.split("/")[1] == "vault"
    ]

    assert len(sources) == len(REGIONS)
    for source in sources:
        patterns = [json.loads(one["Pattern"]) for one in source["FilterCriteria"]["Filters"]]
        assert patterns == [
            {"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"kind": {"S": ["shredded"]}}}},
            {"eventName": ["REMOVE"], "dynamodb": {"OldImage": {"kind": {"S": ["card"]}}}},
        ]
        assert text(source["FunctionName"]).startswith("<Shredder")
        assert source["StartingPosition"] == "TRIM_HORIZON"
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["BisectBatchOnFunctionError"] is True
        assert source["MaximumRecordAgeInSeconds"] == 12 * 3600
        assert text(source["DestinationConfig"]["OnFailure"]["Destination"]).startswith("<DeadLettersQueue")


def test_whoever_calls_the_vault_is_deployed_after_it(production: Synthesized) -> None:
    """Its functions must be there before their resource policies can name a caller."""
    for region in REGIONS:
        manifest = json.loads((production.folder / f"assembly-{region}" / "manifest.json").read_text())["artifacts"]
        stacks = {artifact.get("displayName", "").split(" ")[0]: artifact for artifact in manifest.values()}
        vault = next(name for name, artifact in manifest.items() if artifact is stacks[f"{region}/vault"])
        for caller in ("charge", "api", "workers"):
            assert vault in stacks[f"{region}/{caller}"]["dependencies"], caller


def _endpoints(app: Synthesized) -> list[dict]:
    return [endpoint["Properties"] for _, endpoint in app.of_type("AWS::EC2::VPCEndpoint")]
