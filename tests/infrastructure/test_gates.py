"""Gates: cdk-nag's and cfn-lint's findings, the config's refusals, and one real bundle."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_sns as sns
from cdk_nag import AwsSolutionsChecks

from cdk import config
from cdk.constructs import bundles
from tests.infrastructure.conftest import CLIENT_LAYER, KEY_STORE, PRODUCTION_ACCOUNT, RESTORED_GROUP
from tests.infrastructure.synthesis import ROOT, Synthesized, synthesize

# W3005: a dependency CDK states although it is implied. W3010: availability zones from cdk.json's context.
IGNORED = ("W3005", "W3010")


def test_cdk_nag_has_nothing_unacknowledged(production: Synthesized) -> None:
    report = json.loads((production.folder / "validation-report.json").read_text())

    findings = [
        f"{violation['ruleName']}: {construct['constructPath']}"
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]
    assert not findings, "\n".join(findings)


def test_cdk_nag_ends_a_synthesis_with_a_finding(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    sns.Topic(Stack(app, "Careless"), "OpenToPlainHttp")

    with pytest.raises(RuntimeError, match="AwsSolutions-SNS3"):
        app.synth()


def test_cfn_lint_has_no_findings(production: Synthesized) -> None:
    templates = sorted(map(str, production.folder.rglob("*.template.json")))
    linter = Path(sys.executable).with_name("cfn-lint")

    done = subprocess.run(
        [linter, "-i", *IGNORED, "-r", *config.REGIONS, "--", *templates], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


PRODUCTION = {
    "account": PRODUCTION_ACCOUNT,
    "card_network_url": "https://n.example",
    "key_store": KEY_STORE,
    "cloudhsm_client": json.dumps(dict.fromkeys(config.REGIONS, CLIENT_LAYER)),
    "cloudhsm_restored_group": RESTORED_GROUP,
}
"""A deployment that may exist; each refusal below is of one change to it."""

DOMAIN = {**PRODUCTION, "domain": "api.example.com", "hosted_zone_id": "Z0EXAMPLE"}
"""The same, under a name of its own."""


@pytest.mark.parametrize(
    ("context", "why"),
    [
        ({"environment": "staging"}, "local or production"),
        ({**PRODUCTION, "card_network_url": None}, "card_network_url=… is required"),
        ({**PRODUCTION, "card_network_url": "http://n.example"}, "must begin with https://"),
        ({**PRODUCTION, "card_network_url": "HTTP://n.example"}, "must begin with https://"),
        ({**PRODUCTION, "key_store": None}, "key_store=… is required"),
        ({**PRODUCTION, "key_store": "file:/keys"}, "in an HSM"),
        ({**PRODUCTION, "key_store": "cloudhsm:x"}, "in an HSM"),
        ({**PRODUCTION, "key_store": "pkcs11:object=k?module-path=/opt/lib.so"}, "token=…;object=…"),
        ({**PRODUCTION, "key_store": "pkcs11:token=t;object=?module-path=/opt/lib.so"}, "token=…;object=…"),
        ({**PRODUCTION, "key_store": f"{KEY_STORE}&module-name=lib"}, "token=…;object=…"),
        ({**PRODUCTION, "key_store": "pkcs11:token=t;object=k?module-path=/usr/lib.so"}, "below /opt/"),
        ({**PRODUCTION, "key_store": f"{KEY_STORE}&pin-source=file:/pin"}, "where the PIN is"),
        ({**PRODUCTION, "key_store": f"{KEY_STORE}&pin-value=1234"}, "where the PIN is"),
        ({**PRODUCTION, "cloudhsm_client": None}, "cloudhsm_client=… is required"),
        ({**PRODUCTION, "cloudhsm_client": json.dumps({"us-east-1": CLIENT_LAYER})}, "exactly the regions"),
        ({**PRODUCTION, "cloudhsm_client": json.dumps(dict.fromkeys(config.REGIONS, "/nowhere"))}, "nor there"),
        ({**PRODUCTION, "cloudhsm_restored_group": None}, "cloudhsm_restored_group=sg-… is required"),
        ({**PRODUCTION, "cloudhsm_restored_group": "default"}, "id of a security group"),
        ({**PRODUCTION, "domain": "api.example.com"}, "go together"),
        ({**PRODUCTION, "hosted_zone_id": "Z0EXAMPLE"}, "go together"),
        ({**PRODUCTION, "default_endpoint": "false"}, "only with them"),
        ({**DOMAIN, "domain": ""}, "domain=… is required"),
        ({**DOMAIN, "domain": "example.com"}, "a host name"),
        ({**DOMAIN, "domain": "https://api.example.com"}, "a host name"),
        ({**DOMAIN, "domain": "API.example.com"}, "a host name"),
        ({**DOMAIN, "domain": "api.example.com."}, "a host name"),
        ({**DOMAIN, "domain": "*.example.com"}, "a host name"),
        ({**DOMAIN, "domain": f"{'a' * 60}.example.com"}, "a host name"),
        ({**DOMAIN, "hosted_zone_id": "/hostedzone/Z0EXAMPLE"}, "a zone in Route 53"),
        ({**DOMAIN, "default_endpoint": "off"}, "true or false"),
        ({"environment": "local", "key_store": "file:/k", "domain": "api.example.com"}, "only in production"),
        ({"environment": "local", "key_store": "file:/k", "default_endpoint": "true"}, "only in production"),
        ({"environment": "local", "key_store": "cloudhsm:x"}, "pkcs11: URI"),
        ({"environment": "local", "peers": '{"us-east-1": ""}'}, "exactly the regions"),
        ({"environment": "local", "peers": "{"}, "no JSON"),
        ({"environment": "local", "links": '{"us-east-1": ""}'}, "exactly the regions"),
        ({"environment": "local", "raw_cards_allowed": "perhaps"}, "true or false"),
        ({"environment": "local", "at_risk_limit": "-1"}, "whole number"),
        ({"environment": "local", "at_risk_limit": "1e6"}, "whole number"),
    ],
)
def test_a_deployment_that_must_not_exist_is_refused(context: dict[str, str | None], why: str) -> None:
    with pytest.raises(config.ConfigError, match=re.escape(why)):
        config.read(context.get)


def test_the_deployment_that_the_refusals_change_may_exist() -> None:
    assert config.read(PRODUCTION.get).key_store == KEY_STORE
    assert config.read(PRODUCTION.get).domain is None


@pytest.mark.parametrize(("value", "answers"), [(None, True), ("true", True), ("false", False)])
def test_a_domain_leaves_the_apis_own_name_alone_unless_told(value: str | None, answers: bool) -> None:
    found = config.read({**DOMAIN, "default_endpoint": value}.get).domain

    assert found
    assert (found.names("us-west-2"), found.hosted_zone_id) == (
        ("api.example.com", "us-west-2.api.example.com"),
        "Z0EXAMPLE",
    )
    assert found.default_endpoint is answers


def test_the_vaults_base_can_be_deployed_before_there_is_an_hsm(tmp_path: Path) -> None:
    app = synthesize(tmp_path, checked=False, account=PRODUCTION_ACCOUNT, vault_base_only="true")

    assert set(app.templates) == {f"{region}/vault-base" for region in config.REGIONS}
    assert len(list(app.of_type("AWS::CloudHSM::Cluster"))) == 1


def test_a_bundle_holds_its_function_and_nothing_else() -> None:
    stage = bundles.stage_function("ledger")

    files = {path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()}
    assert "functions/ledger/app.py" in files
    assert not [name for name in files if not name.startswith(("functions/ledger/", "functions/__init__.py"))]
    assert not [name for name in files if "__pycache__" in name or "/tests/" in name]


def test_a_missing_function_fails_clearly() -> None:
    with pytest.raises(bundles.BundleError, match="functions/nowhere/app.py is missing"):
        bundles.stage_function("nowhere")


def test_wheels_are_bundled_for_lambdas_platform(tmp_path: Path) -> None:
    """The one test that needs the package index (or pip's cache)."""
    requirements = ROOT / "functions/vault/requirements.txt"
    if not requirements.exists():
        pytest.skip("the vault's requirements are not pinned yet")

    bundles.install_wheels(requirements, tmp_path)

    libraries = list((tmp_path / "python").rglob("*.so"))
    assert libraries
    assert not [library.name for library in libraries if "x86_64" in library.name]
    shutil.rmtree(tmp_path / "python")


def test_the_learner_is_kept_whole_with_openmp_and_without_what_it_does_not_import(tmp_path: Path) -> None:
    site = tmp_path / "python"
    for name in (
        "lightgbm/lib/lib_lightgbm.so",
        "lightgbm/basic.py",
        "scikit_learn.libs/libgomp-1.so.1.0.0",
        "scikit_learn-1.dist-info/METADATA",
        "sklearn/tests/test_all.py",
        "numpy/core/tests/test_a.py",
        "numpy/core/a.py",
        "scipy/sparse/a.py",
        "narwhals/a.py",
        "threadpoolctl.py",
    ):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name)

    bundles.keep_learner(tmp_path)

    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "python/lightgbm/lib/lib_lightgbm.so",
        "python/lightgbm/basic.py",
        "python/numpy/core/a.py",
        "python/scipy/sparse/a.py",
        "python/narwhals/a.py",
        "lib/libgomp.so.1",
    }


def test_only_lightgbms_library_is_kept(tmp_path: Path) -> None:
    site = tmp_path / "python"
    for name in (
        "lightgbm/lib/lib_lightgbm.so",
        "lightgbm/basic.py",
        "lightgbm-4.dist-info/METADATA",
        "scikit_learn.libs/libgomp-1.so.1.0.0",
        "sklearn/__init__.py",
        "scipy/__init__.py",
        "jmespath/a.py",
    ):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name)

    bundles.keep_native_lightgbm(tmp_path)

    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "python/lightgbm/__init__.py",
        "python/lightgbm/lib/lib_lightgbm.so",
        "python/jmespath/a.py",
        "lib/libgomp.so.1",
    }
