"""Gates: cdk-nag's and cfn-lint's findings, the config's refusals, and one real bundle."""

import json
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
from tests.infrastructure.synthesis import ROOT, Synthesized

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


@pytest.mark.parametrize(
    "context",
    [
        {"environment": "staging"},
        {"environment": "production", "account": "123456789012", "key_store": "cloudhsm:x"},
        {"account": "123456789012", "card_network_url": "https://n.example", "key_store": "file:/keys"},
        {"environment": "local", "peers": '{"us-east-1": ""}'},
        {"environment": "local", "raw_cards_allowed": "perhaps"},
    ],
    ids=["unknown environment", "no card network", "file keys in production", "region missing", "no boolean"],
)
def test_a_deployment_that_must_not_exist_is_refused(context: dict[str, str]) -> None:
    with pytest.raises(config.ConfigError):
        config.read(context.get)


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
