"""What holds for every function, and what reaches its environment."""

import json
import re
from pathlib import Path

from cdk.config import FUNCTIONS, REGIONS
from cdk.vault_rights import VAULT_RIGHTS
from tests.infrastructure.conftest import COUNTRY_LAYERS
from tests.infrastructure.synthesis import ROOT, Synthesized

COMMON_SETTINGS = {"ENVIRONMENT", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}


def test_every_region_has_every_function_and_only_the_first_makes_the_vaults_keys(deployment: Synthesized) -> None:
    wanted = {f"{region}/{name}" for region in REGIONS for name in FUNCTIONS}

    assert wanted - set(deployment.functions()) == {f"{REGIONS[1]}/payments-vault-keys"}
    assert set(deployment.functions()) <= wanted


def test_handlers_are_those_of_the_contract(local: Synthesized) -> None:
    contract = dict(re.findall(r"^\| `(payments-[\w-]+)` \| `(functions\.[\w.]+)` \|", _interfaces(), re.MULTILINE))

    for name, function in local.functions().items():
        assert function["Handler"] == contract.pop(name.removeprefix("us-east-1/"), function["Handler"])
    assert not contract


def test_every_handler_exists() -> None:
    for name, spec in FUNCTIONS.items():
        module, entry = spec.handler.rsplit(".", 1)
        source = (ROOT / Path(*module.split("."))).with_suffix(".py").read_text()
        assert re.search(rf"^(def {entry}\(|{entry}\b.*=)", source, re.MULTILINE), name


def test_functions_are_arm64_python_traced_with_a_role_of_their_own(deployment: Synthesized) -> None:
    roles: dict[str, str] = {}
    for name, function in deployment.functions().items():
        assert (function["Architectures"], function["Runtime"]) == (["arm64"], "python3.13"), name
        assert function["TracingConfig"] == {"Mode": "Active"}, name
        role = f"{name.split('/')[0]} {function['Role']}"
        assert roles.setdefault(role, name) == name, f"{name} shares its role with {roles[role]}"


def test_every_log_is_kept_for_a_set_time(deployment: Synthesized) -> None:
    groups = dict(deployment.of_type("AWS::Logs::LogGroup"))

    assert all(group["Properties"].get("RetentionInDays") for group in groups.values())
    named = {str(group["Properties"].get("LogGroupName")) for group in groups.values()}
    assert {f"/aws/lambda/{name}" for name in FUNCTIONS} <= named
    for name, function in deployment.functions().items():
        assert function["LoggingConfig"]["LogFormat"] == "JSON", name
        assert "LogGroup" in function["LoggingConfig"], name


def test_functions_get_the_settings_of_the_contract_and_no_others(local: Synthesized) -> None:
    contract = _settings_by_function()

    for name, function in local.functions().items():
        given = set(function["Environment"]["Variables"]) - COMMON_SETTINGS
        short = name.split("/")[1].removeprefix("payments-")
        assert given == contract.get(short, set()), short


def test_only_the_local_cloud_is_lenient(production: Synthesized, local: Synthesized) -> None:
    def setting(app: Synthesized, function: str, name: str) -> str:
        return app.functions()[f"us-east-1/{function}"]["Environment"]["Variables"][name]

    assert setting(production, "payments-api", "RAW_CARDS_ALLOWED") == "false"
    assert setting(local, "payments-api", "RAW_CARDS_ALLOWED") == "true"
    assert setting(production, "payments-webhooks-deliver", "PRIVATE_ENDPOINTS_ALLOWED") == "false"
    assert setting(local, "payments-webhooks-deliver", "PRIVATE_ENDPOINTS_ALLOWED") == "true"
    assert "localhost" not in str(production.templates)
    assert "127.0.0.1" not in str(production.templates)


def test_fraud_scoring_reads_the_licensed_countries_where_there_are_any(
    production: Synthesized, local: Synthesized
) -> None:
    for region, arn in COUNTRY_LAYERS.items():
        function = production.functions()[f"{region}/payments-fraud"]
        assert arn in function["Layers"]
        assert function["Environment"]["Variables"]["COUNTRY_DATABASE"] == "/opt/country.mmdb"
    packaged = local.functions()["us-east-1/payments-fraud"]
    assert packaged["Environment"]["Variables"]["COUNTRY_DATABASE"] == ""
    assert "countries" not in str(packaged.get("Layers"))


def test_the_vault_has_no_layer_of_the_platform(production: Synthesized) -> None:
    layers = {name: function.get("Layers", []) for name, function in production.functions().items()}

    vault = [str(found) for name, found in layers.items() if "-vault-" in name]
    assert len(vault) == len(VAULT_RIGHTS) * len(REGIONS) - 1
    assert all("VaultWheelsLayer" in found and "Domain" not in found for found in vault)
    assert all("DomainLayer" in str(layers[f"us-east-1/{name}"]) for name in ("payments-api", "payments-ledger"))


def test_each_of_the_vaults_functions_has_executions_of_its_own(production: Synthesized, local: Synthesized) -> None:
    for name, function in production.functions().items():
        has_figure = "-vault-" in name or name.endswith(("/payments-notary", "/payments-watchman"))
        assert ("ReservedConcurrentExecutions" in function) == has_figure, name
    reserved = {
        name.removeprefix("us-east-1/payments-vault-"): function.get("ReservedConcurrentExecutions")
        for name, function in production.functions().items()
    }
    assert reserved["tokenize"] == max(figure for figure in reserved.values() if figure)
    assert all(reserved[name] <= 2 for name in ("walk", "keys", "key-check")), "one operator at a time"
    assert not [name for name, function in local.functions().items() if "ReservedConcurrentExecutions" in function]


def test_no_secret_and_no_card_number_in_any_template(deployment: Synthesized) -> None:
    for stack, template in deployment.templates.items():
        found = str(template)
        assert not re.search(r"sk_(local|production)_|whsec_|AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", found), stack
        digits = re.findall(r"(?<![0-9a-zA-Z])[0-9]{13,19}(?![0-9a-zA-Z])", found)
        assert not [run for run in digits if _luhn(run)], stack


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _interfaces() -> str:
    return (ROOT / "docs/interfaces.md").read_text()


def _settings_by_function() -> dict[str, set[str]]:
    """Function (without ``payments-``) → variables, from the settings table of docs/interfaces.md."""
    short = [name.removeprefix("payments-") for name in FUNCTIONS]
    found: dict[str, set[str]] = {}
    for variable, functions in re.findall(r"^\| `([A-Z_]+)` \| ([a-z, *-]+) \|", _interfaces(), re.MULTILINE):
        for function in functions.split(", "):
            prefix = function.removesuffix("*")
            matching = [name for name in short if name == function or (prefix != function and name.startswith(prefix))]
            assert matching, f"{variable}: there is no function {function}"
            for name in matching:
                found.setdefault(name, set()).add(variable)
    return found


def test_functions_reach_the_other_region_by_the_link_and_their_own_directly(local: Synthesized) -> None:
    ports = {"us-east-1": {"us-east-1": 4566, "us-west-2": 4569}, "us-west-2": {"us-east-1": 4568, "us-west-2": 4567}}

    for region, wanted in ports.items():
        settings = [
            resource["Properties"]["Environment"]["Variables"]["REGIONS"]
            for name, template in local.templates.items()
            if name.startswith(region)
            for resource in template["Resources"].values()
            if "REGIONS" in resource.get("Properties", {}).get("Environment", {}).get("Variables", {})
        ]
        urls = {name: f"http://127.0.0.1:{port}" for name, port in wanted.items()}
        assert len(settings) > 5
        assert all(json.loads(setting) == urls for setting in settings)


def test_only_local_apis_have_ids_of_their_own(local: Synthesized, production: Synthesized) -> None:
    for app, names in ((local, {"payments", "payments-operations"}), (production, set())):
        tags = [
            tag["Value"]
            for name, template in app.templates.items()
            if name.startswith("us-east-1")
            for resource in template["Resources"].values()
            if resource["Type"] == "AWS::ApiGateway::RestApi"
            for tag in resource["Properties"].get("Tags", [])
            if tag["Key"] == "ms-custom-id"
        ]
        assert set(tags) == names
