"""Deploys the CDK app into both emulators with the official CLI, as an operator deploys it into AWS.

The app is synthesized once and only when something it is made of changed; each region deploys its own copy (two CLI
runs cannot share one), which keeps the zipped assets for the next start.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.object_lock import lock_buckets
from local.processes import RUN_VARIABLE, Run, tail
from local.settings import ACCOUNT, REGIONS, ROOT, Settings

API_STACK = "payments-api"
OPERATIONS_STACK = "payments-operations"
API_STAGE = "live"
_TABLE_STACKS = ("data", "vault-base")
_SOURCES = ("cdk", "functions", "layers", "statemachines", "models", "cdk.json", "package-lock.json", "requirements")
_IGNORED = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules"}
_NODE = ROOT / "node_modules" / ".bin"
_DEPLOY_SECONDS = 300


class DeploymentFailed(Exception):
    """The CDK CLI failed; the message has what it was doing and the end of its log."""


def deploy(at: Settings, run: Run) -> dict[str, str]:
    """Bring the whole platform up in both regions. Returns each region's API address."""
    pool = ThreadPoolExecutor(len(REGIONS) + 1)
    try:
        bootstraps: list[Future[Any]] = [pool.submit(bootstrap, at, run, region) for region in REGIONS]
        for work in [*bootstraps, pool.submit(synthesize, at, run)]:
            work.result()
        list(pool.map(lambda region: deploy_region(at, run, region), REGIONS))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait: whoever stops the run ends the CLI
    return {region: api_base(at, region) for region in REGIONS}


def synthesize(at: Settings, run: Run) -> bool:
    """Synthesize into `cdk.out` unless nothing changed since the last time; whether it did."""
    context = {
        "environment": "local",
        "card_network_url": at.card_network_url,
        "key_store": at.key_store,
        "peers": json.dumps({region: at.aws_url(region) for region in REGIONS}, sort_keys=True),
        "health_urls": json.dumps({region: f"{at.gateway_url(region)}/health" for region in REGIONS}, sort_keys=True),
        "links": json.dumps({region: at.link_url(region) for region in REGIONS}, sort_keys=True),
    }
    mark, wanted = at.path("cdk.out", "synthesized"), fingerprint(context)
    if mark.exists() and mark.read_text() == wanted:
        return False
    shutil.rmtree(at.path("cdk.out"), ignore_errors=True)
    output = at.path("cdk.out", "app")
    options = [part for name, value in context.items() for part in ("--context", f"{name}={value}")]
    _cdk(at, run, "synth", REGIONS[0], ["synth", "--quiet", "--output", str(output), *options])
    for region in REGIONS:
        shutil.copytree(output, at.path("cdk.out", region), copy_function=os.link)
    mark.write_text(wanted)
    return True


def bootstrap(at: Settings, run: Run, region: str) -> None:
    """Prepare a region for deployments."""
    nowhere = at.path("tmp", f"bootstrap-{region}")  # without a cdk.json, so that the CLI does not synthesize for it
    nowhere.mkdir(parents=True, exist_ok=True)
    _cdk(at, run, f"bootstrap-{region}", region, ["bootstrap", f"aws://{ACCOUNT}/{region}"], nowhere)


def deploy_tables(at: Settings, run: Run, region: str) -> None:
    """Deploy the global tables of a region, and nothing that reads them or answers a merchant."""
    _deploy(at, run, region, *(f"{region}/{stack}" for stack in _TABLE_STACKS))


def deploy_region(at: Settings, run: Run, region: str) -> None:
    """Deploy every stack of a region."""
    copy = str(at.path("cdk.out", region))
    _deploy(at, run, region, f"{region}/*")
    lock_buckets(aws(at, "s3", region), Path(copy), region)


def api_base(at: Settings, region: str) -> str:
    """Where the emulator answers for the region's merchants' API, from the outputs of its stack."""
    return _base(at, region, API_STACK, "ApiId")


def operations_base(at: Settings, region: str) -> str:
    """The same for the operators' API."""
    return _base(at, region, OPERATIONS_STACK, "OperationsApiId")


def _base(at: Settings, region: str, stack: str, output: str) -> str:
    (described,) = aws(at, "cloudformation", region).describe_stacks(StackName=stack)["Stacks"]
    outputs = {found["OutputKey"]: found["OutputValue"] for found in described["Outputs"]}
    return f"{at.aws_url(region)}/restapis/{outputs[output]}/{API_STAGE}/_user_request_"


def aws(at: Settings, service: str, region: str, read_timeout: int = 60) -> Any:
    """A boto3 client of a region's emulator."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=at.aws_url(region),
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(connect_timeout=2, read_timeout=read_timeout, retries={"total_max_attempts": 1}),
    )


def _deploy(at: Settings, run: Run, region: str, *stacks: str) -> None:
    copy = str(at.path("cdk.out", region))
    options = ["--require-approval", "never", "--concurrency", "4", "--method", "direct", "--output", copy]
    _cdk(at, run, f"deploy-{region}", region, ["deploy", "--app", copy, *options, *stacks])


def fingerprint(context: dict[str, str]) -> str:
    """A hash of everything the synthesized app depends on."""
    digest = hashlib.sha256(json.dumps(context, sort_keys=True).encode())
    for file in _source_files():
        digest.update(f"\0{file.relative_to(ROOT)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _source_files() -> Iterator[Path]:
    for name in _SOURCES:
        source = ROOT / name
        found = sorted(source.rglob("*")) if source.is_dir() else [source]
        yield from (file for file in found if file.is_file() and not _IGNORED & set(file.parts))


def _cdk(at: Settings, run: Run, name: str, region: str, arguments: list[str], directory: Path = ROOT) -> None:
    log = at.path("logs", f"cdk-{name}.log")
    command = [str(_NODE / "node"), str(_NODE / "cdk"), *arguments, "--no-notices", "--no-color"]
    with log.open("wb") as output:
        finished = subprocess.run(
            command,
            cwd=directory,
            env=_environment(at, run, region),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_DEPLOY_SECONDS,
            check=False,
        )
    if finished.returncode:
        raise DeploymentFailed(f"cdk {name} failed ({log}):\n{tail(log)}")


def _environment(at: Settings, run: Run, region: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    scratch = at.path("tmp", "cdk")
    scratch.mkdir(parents=True, exist_ok=True)
    return kept | {
        "PATH": f"{_NODE}{os.pathsep}{os.environ.get('PATH', '')}",
        "TMPDIR": str(scratch),
        RUN_VARIABLE: run.run_id,
        "AWS_ENDPOINT_URL": at.aws_url(region),
        "AWS_ENDPOINT_URL_S3": at.aws_url(region),
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": region,
    }
