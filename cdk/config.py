"""What a deployment is, read once from the CDK context.

Everything that differs between the local cloud and production is decided in this module: the stacks only ask.

Context values (``cdk synth --context name=value``):

- ``environment``: ``local`` or ``production`` (default)
- ``card_network_url``: base URL of the card network, required and https in production
- ``key_store``: where the vault's keys are, required in production: a PKCS#11 URI without ``pin-source``; locally also
  ``file:<absolute path>``
- ``cloudhsm_client``, ``cloudhsm_restored_group``: what docs/cloudhsm.md brings forth, required in production
- ``vault_base_only``: nothing but the vault's keys, tables, network and HSM cluster; needs none of the above
- ``peers``: JSON object, every region to the endpoint URL of its AWS API, ``""`` for AWS itself
- ``links``: the same as functions of the other region reach it, where that is another one (locally: local/link.py)
- ``raw_cards_allowed``: may a charge carry a raw card number (default: only locally)
- ``domain``, ``hosted_zone_id``: the name of the merchants' API, and the zone in Route 53 that it lies in; none by
  default. ``default_endpoint=false`` then switches off the names that API Gateway gives
- ``alarm_email``: who is told of alarms; nobody by default
- ``at_risk_limit``: minor units at risk in one run of reconciliation above which an alarm is raised (default 1,000,000)
- ``country_layers``: JSON object, every region to the ARN of a Lambda layer version whose ``country.mmdb`` the
  fraud function reads instead of the free file: a licensed database of countries in MaxMind's format
- ``health_urls``: JSON object, every region to the public URL of its own API's ``/health``, not of the name that fails
  over: what the regions' watchmen ask of one another besides tables, functions and signs of life
- ``account``: AWS account; default is the account of the CLI's credentials
"""

import json
import os
from dataclasses import dataclass, replace
from typing import Literal

from cdk import domain, key_store
from cdk.context import ConfigError, Context, by_region, flag, https, text, whole
from cdk.domain import Domain
from cdk.key_store import CloudHsm

Environment = Literal["local", "production"]

REGIONS = ("us-east-1", "us-west-2")
"""Both regions accept writes. The first owns the global tables' definitions."""

GLOBAL_REGION = "us-east-1"
"""Where AWS has what is no region's own: Route 53 itself, and the metrics of its health checks."""

WITNESS_REGION = "us-east-2"
"""Third vote of the strongly consistent ``shards`` table; it must be of the same region set as REGIONS."""

LOCAL_ACCOUNT = "000000000000"

DYNAMODB_PREFIX_LISTS = {"us-east-1": "pl-02cd2c6b", "us-west-2": "pl-00a54069"}
"""AWS-managed prefix lists of DynamoDB: the only place the vault's security group lets traffic go."""

VAULT_NETWORKS = {"us-east-1": "10.64.0.0/20", "us-west-2": "10.64.16.0/20"}
"""Addresses of the vault's network. They differ, so that the networks can be peered while a key is copied from one
region's HSM cluster to the other's."""


@dataclass(frozen=True)
class FunctionSpec:
    """Where a function's entry point is and what it is given to run in."""

    handler: str
    memory_mb: int = 1024
    timeout_s: int = 10
    reserved: int | None = None
    """Executions at a time, kept free for the function and never exceeded. The vault's functions all have a figure:
    nobody else's load may starve them, and a stolen right to invoke one is worth no more than that. The notary has one
    because two at a time would only be in each other's way; the watchman so that those who ask whether it lives are
    answered beside its rounds, and no more of it run than that."""
    disk_mb: int | None = None
    """The temporary disk, where it is not Lambda's own 512 MB."""
    batch: bool = False
    """It works through files, or for a whole minute: locally, too, it may take as long as it may on AWS."""

    @property
    def folder(self) -> str:
        """Name of the function's folder under ``functions/``."""
        return self.handler.split(".")[1]


_ONE_CPU_MB = 1769
"""One whole vCPU (Lambda's documentation, "Memory")."""

# The charge path buys CPU, which costs less than the time it saves.
_CHARGE_PATH_MB = _ONE_CPU_MB

_LARGEST_DISK_MB = 10_240

_SORTING_MB = 3 * _ONE_CPU_MB
"""DuckDB's 3 GB, and room for what it does not count and for Python."""

_ROWS_DISK_MB = 2_560
"""Two million rows of 65 features and what is known of them: 1.4 GB."""

SEVEN_YEARS_DAYS = 7 * 365 + 2
"""With as many leap days as seven years can have."""

FUNCTIONS = {
    "payments-api": FunctionSpec("functions.api.app.handler", _CHARGE_PATH_MB, 28),
    "payments-authorizer": FunctionSpec("functions.authorizer.app.handler", 1024, 5),
    "payments-vault-tokenize": FunctionSpec("functions.vault.app.tokenize", _CHARGE_PATH_MB, reserved=4000),
    "payments-vault-release": FunctionSpec("functions.vault.app.release", reserved=200),
    "payments-vault-detokenize": FunctionSpec("functions.vault.app.detokenize", reserved=1000),
    "payments-vault-store": FunctionSpec("functions.vault.app.store", _CHARGE_PATH_MB, reserved=200),
    "payments-vault-shred": FunctionSpec("functions.vault.app.shred", reserved=20),
    "payments-vault-public-key": FunctionSpec("functions.vault.app.public_key", reserved=100),
    "payments-vault-shredder": FunctionSpec("functions.vault.app.shredder", 512, 60, reserved=100),
    "payments-vault-walk": FunctionSpec("functions.vault.app.walk", 1024, 300, reserved=2),
    "payments-vault-keys": FunctionSpec("functions.vault.app.key_ring", 512, 60, reserved=1),
    "payments-vault-key-check": FunctionSpec("functions.vault.app.key_check", 512, 60, reserved=1),
    "payments-fraud": FunctionSpec("functions.fraud.app.handler", _CHARGE_PATH_MB),
    "payments-fraud-labels": FunctionSpec("functions.fraud.app.label", 512, 60),
    "payments-ledger": FunctionSpec("functions.ledger.app.handler", _CHARGE_PATH_MB),
    "payments-ledger-command": FunctionSpec("functions.ledger.app.command", _CHARGE_PATH_MB),
    "payments-ledger-book": FunctionSpec("functions.ledger.app.book"),
    "payments-network": FunctionSpec("functions.network.app.handler", 512, 150),
    "payments-webhooks-fanout": FunctionSpec("functions.webhooks.app.fanout", 512, 30),
    "payments-webhooks-deliver": FunctionSpec("functions.webhooks.app.deliver", 512, 60),
    "payments-projector": FunctionSpec("functions.projector.app.handler", 1024, 60),
    "payments-notary": FunctionSpec("functions.projector.app.notarize", _ONE_CPU_MB, 120, reserved=1),
    "payments-sweeper": FunctionSpec("functions.sweeper.app.handler", 1024, 60),
    "payments-conflicts": FunctionSpec("functions.sweeper.app.conflict", 512, 60),
    "payments-ledger-audit": FunctionSpec("functions.sweeper.app.audit", _ONE_CPU_MB, 840),
    "payments-reconciliation-begin": FunctionSpec("functions.reconciliation.app.begin", 512, 60, batch=True),
    "payments-reconciliation-ingest": FunctionSpec(
        "functions.reconciliation.app.ingest", _SORTING_MB, 840, disk_mb=_LARGEST_DISK_MB, batch=True
    ),
    "payments-reconciliation-compact": FunctionSpec(
        "functions.reconciliation.app.compact", _SORTING_MB, 840, disk_mb=_LARGEST_DISK_MB, batch=True
    ),
    "payments-reconciliation-match": FunctionSpec(
        "functions.reconciliation.app.match", _SORTING_MB, 840, disk_mb=_LARGEST_DISK_MB, batch=True
    ),
    "payments-reconciliation-report": FunctionSpec("functions.reconciliation.app.report", _ONE_CPU_MB, 840, batch=True),
    "payments-training-collect": FunctionSpec(
        "functions.training.app.collect", _SORTING_MB, 840, disk_mb=_ROWS_DISK_MB, batch=True
    ),
    "payments-training-learn": FunctionSpec(
        "functions.training.app.learn", _SORTING_MB, 840, disk_mb=_ROWS_DISK_MB, batch=True
    ),
    "payments-training-release": FunctionSpec("functions.training.app.release", _ONE_CPU_MB, 840, batch=True),
    "payments-operations": FunctionSpec("functions.operations.app.handler", 1024, 28),
    "payments-watchman": FunctionSpec("functions.watchman.app.handler", 512, 120, reserved=5, batch=True),
}
"""Every Lambda function of the platform (docs/interfaces.md)."""


@dataclass(frozen=True)
class Config:
    """One deployment: the local cloud or production, both regions."""

    environment: Environment
    account: str
    card_network_url: str
    key_store: str
    cloudhsm: CloudHsm | None
    """The clusters behind the key store; None where it is none of CloudHSM's."""
    vault_base_only: bool
    """No more than the vault's keys, tables, network and cluster: what must be there before there is an HSM."""
    peers: dict[str, str]
    links: dict[str, str]
    raw_cards_allowed: bool
    domain: Domain | None
    """Where merchants find the API; None: under the names that API Gateway gives, one a region, and no failover."""
    alarm_email: str | None

    fixed_api_ids: bool
    """An API made anew has the address of the one before."""
    global_tables: bool
    """DynamoDB replicates between the regions. If not, each region makes every table for itself."""
    retain_data: bool
    """Tables survive their stack and refuse deletion."""
    guards_history: bool
    """Ledger and archive refuse, by policies of their own, whatever would change what they hold."""
    archive_days: int
    """How long an object of the ledger's archive is locked."""
    archive_final: bool
    """The lock holds against everybody, the account's root included; or else against all who may not bypass it."""
    dependency_layers: bool
    """Third-party wheels are bundled for Lambda."""
    bootstrap_roles: bool
    """Deployments assume the roles of ``cdk bootstrap``, or else act with the CLI's own credentials."""
    web_acl: bool
    flow_logs: bool
    audit_trail: bool
    """What is done with and to the vault past its callers is recorded, and raises an alarm."""
    reserve_concurrency: bool
    enforce_tls: bool
    """Queues and topics refuse plain HTTP, and the API refuses old versions of TLS."""
    private_webhook_endpoints: bool
    metric_math: bool
    log_retention_days: int
    function_timeout_s: int | None
    """One time-out for every function but the batches', in place of each one's own."""
    visibility_factor: int
    """A queue's visibility time-out in function time-outs. AWS asks for 6, so that a throttled poller does not
    make a message visible while it is still being worked on."""
    worker_concurrency: int
    stream_window_s: int
    """How long the projector's event source gathers records before it calls: fuller batches are cheaper ones."""
    reconciliation_parts: int
    """Into how many parts reconciliation divides what it compares; fixed for the life of its store."""
    lease_minutes: int
    """After how long without a sign of life another execution goes on with a run of reconciliation."""
    drift_seconds: int
    """How long reconciliation's report waits for the projector to count what the run has booked."""
    duckdb_memory: str
    duckdb_threads: int
    training_days: int
    """Days of labelled charges that a daily fraud model learns from and is judged by."""
    held_out_days: int
    """Of these, the newest, which judge; as many before them calibrate."""
    label_days: int
    """How old a charge must be to count as good because nobody has said otherwise."""
    shadow_seconds: int
    """How long a new model is asked beside the old one. Shorter than a day by what a run takes besides: then the next
    one begins, and would put its own challenger in this one's place."""
    shadow_charges: int
    """How many charges both must have been asked about."""
    least_frauds: int
    """Fewer labelled frauds teach nothing."""
    least_good: int
    health_urls: dict[str, str]
    """By region the public address of its ``/health``, which watchmen ask; empty where it has none."""
    watch_round_s: int
    """How often a watchman looks whether the other regions are there."""
    watch_signal_s: int
    """How long a watchman waits for a region's answer, many times what it takes."""
    watch_sign_s: int
    """Seconds after which a region's sign of life, given in every round, says nothing any more."""
    quiet_minutes: int
    """After any move of shards, for how long none is made by itself."""
    at_risk_limit: int
    """Minor units at risk in one run above which somebody is told at once."""
    card_attempts_per_hour: int
    """Tries of one card in an hour above which every further one is blocked, whatever the model says."""
    country_layers: dict[str, str]
    """By region the layer with a licensed database of countries; empty where the free one is used."""
    lists_budget_ms: int
    """How long a charge waits for lists and rules; then it takes what the function remembers, and is reviewed."""
    profiles_budget_ms: int
    """How long a charge waits for its fraud profiles; then it is scored without them and sent to review."""
    health_budget_ms: int
    """How long a request for the region's health waits for what it asks. Route 53 gives up two seconds after it is
    connected, the local edge (local/edge.py) after one and a half."""
    scores_rate: float
    """What part of the charges that are not risky is kept for training."""

    @property
    def owner_region(self) -> str:
        """The region whose stacks define the global tables."""
        return REGIONS[0]

    @property
    def regions_setting(self) -> str:
        """Value of the setting ``REGIONS``."""
        return json.dumps(self.peers, sort_keys=True)

    def seen_from(self, region: str) -> "Config":
        """The deployment as this region's functions reach its regions."""
        peers = {name: url if name == region else self.links[name] for name, url in self.peers.items()}
        return replace(self, peers=peers)

    def defines_global_tables(self, region: str) -> bool:
        """Whether the data and vault stacks of this region create the global tables."""
        return not self.global_tables or region == self.owner_region

    def reconciling_region(self, region: str) -> str:
        """The region whose reconciliation counts for this one. In production that is one for all: runs of two regions
        would book the same lines twice. Locally either may be tried."""
        return region if self.environment == "local" else self.owner_region

    def reconciles_in(self, region: str) -> bool:
        """Whether reconciliation begins runs by itself in this region."""
        return self.reconciling_region(region) == region

    def trains_in(self, region: str) -> bool:
        """Whether fraud models are trained daily in this region: in one for all, and never by itself locally."""
        return self.environment != "local" and region == self.owner_region

    def replica_regions(self) -> list[str]:
        """Regions to which DynamoDB replicates the tables the owner region defines."""
        return [region for region in REGIONS if region != self.owner_region] if self.global_tables else []

    def timeout_s(self, function: str) -> int:
        """Seconds a function may run."""
        spec = FUNCTIONS[function]
        return spec.timeout_s if spec.batch else self.function_timeout_s or spec.timeout_s

    def reserved_concurrency(self, function: str) -> int | None:
        """Executions at a time that are a function's own; None if it takes what there is."""
        return FUNCTIONS[function].reserved if self.reserve_concurrency else None


def read(context: Context) -> Config:
    """The deployment that a context (``app.node.try_get_context``) describes.

    Raises ConfigError where a value is missing, malformed or not allowed in the environment.
    """
    environment = context("environment") or "production"
    if environment not in ("local", "production"):
        raise ConfigError(f"environment must be local or production, not {environment!r}")
    local = environment == "local"
    base_only = flag(context, "vault_base_only", default=False)
    peers = by_region(context, "peers", REGIONS) or dict.fromkeys(REGIONS, "")
    return Config(
        environment=environment,
        account=LOCAL_ACCOUNT if local else context("account") or _required_account(),
        card_network_url=_card_network_url(context, local, base_only),
        key_store=_key_store(context, local, base_only),
        cloudhsm=None if local else key_store.read_cloudhsm(context, REGIONS, complete=not base_only),
        vault_base_only=base_only,
        peers=peers,
        links=by_region(context, "links", REGIONS) or peers,
        raw_cards_allowed=flag(context, "raw_cards_allowed", default=local),
        domain=domain.read_local(context) if local else domain.read_production(context),
        alarm_email=context("alarm_email"),
        fixed_api_ids=local,  # a region that was killed is deployed again into a new emulator
        global_tables=not local,  # an emulator knows one region; local/replication.py carries items across
        retain_data=not local,
        guards_history=not local,  # the emulators' CloudFormation knows no such policies
        archive_days=1 if local else SEVEN_YEARS_DAYS + 1,
        archive_final=not local,
        dependency_layers=not local,  # local workers run under the venv's interpreter, which has them all
        bootstrap_roles=not local,  # an emulator that enforces IAM refuses their conditions
        web_acl=not local,
        flow_logs=not local,
        audit_trail=not local,
        reserve_concurrency=not local,  # a laptop has less to share out than the smallest figure
        enforce_tls=not local,  # the emulators speak plain HTTP
        private_webhook_endpoints=local,
        metric_math=not local,  # the emulators' alarms watch single metrics only
        log_retention_days=7 if local else 365,
        function_timeout_s=30 if local else None,  # a cold worker is a new process on a busy machine
        visibility_factor=1 if local else 6,  # a failed delivery is seen again in seconds
        worker_concurrency=4 if local else 1000,
        stream_window_s=0 if local else 1,  # locally, tests wait for balances
        reconciliation_parts=4 if local else 128,
        lease_minutes=1 if local else 30,
        drift_seconds=20 if local else 60,
        duckdb_memory="500MB" if local else "3GB",
        duckdb_threads=1 if local else 3,
        training_days=7 if local else 60,
        held_out_days=1 if local else 7,
        label_days=0 if local else 30,  # nobody waits for a month's disputes locally
        shadow_seconds=60 if local else 22 * 3600,  # an emulator waits a tenth of it
        shadow_charges=20 if local else 1_000,
        least_frauds=30 if local else 500,
        least_good=300 if local else 10_000,
        health_urls=by_region(context, "health_urls", REGIONS),
        watch_round_s=5,
        watch_signal_s=4 if local else 2,  # two emulators share a developer's machine, and are slow together
        watch_sign_s=15,
        quiet_minutes=1 if local else 30,  # locally regions are broken every few minutes
        at_risk_limit=whole(context, "at_risk_limit", default=1_000_000),
        card_attempts_per_hour=10_000 if local else 100,  # tests and demos use the same few cards
        country_layers=by_region(context, "country_layers", REGIONS),
        lists_budget_ms=2000 if local else 250,
        profiles_budget_ms=2000 if local else 150,  # an emulator on a busy machine is no DynamoDB
        health_budget_ms=1200 if local else 1000,
        scores_rate=1 if local else 0.05,
    )


def _required_account() -> str:
    account = os.environ.get("CDK_DEFAULT_ACCOUNT")
    if not account:
        raise ConfigError("no AWS account: run through the CDK CLI with credentials, or give --context account=…")
    return account


def _card_network_url(context: Context, local: bool, base_only: bool) -> str:
    if local:
        return text(context, "card_network_url", "http://127.0.0.1:8090")
    return "" if base_only else https(context, "card_network_url")


def _key_store(context: Context, local: bool, base_only: bool) -> str:
    if local:
        return key_store.read_local(context)
    return "" if base_only else key_store.read_production(context)
