"""Where the vault's key-encryption keys are: what the context may say about it, and what CloudHSM needs besides.

A PKCS#11 URI (RFC 7512) names token, key label and library. In production the library comes from a layer that the
operator builds, and the credentials come from a secret that the vault's own stack makes: the URI has no ``pin-source``,
since the secret has another ARN in each region.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cdk.context import ConfigError, Context, by_region, text

_LAYER_VERSION = re.compile(r"arn:[\w-]+:lambda:[\w-]+:\d{12}:layer:[\w-]+:\d+")
_SECURITY_GROUP = re.compile(r"sg-[0-9a-f]{8,17}")


@dataclass(frozen=True)
class CloudHsm:
    """What only the operator knows of the clusters (docs/cloudhsm.md); unknown until they are initialized."""

    client_layers: Mapping[str, str]
    """Region → ARN of a layer version, or a folder or zip: the PKCS#11 library and how it finds the region's HSMs."""
    restored_group: str | None
    """Security group of the second region's cluster. It is a copy of the first region's, restored from a backup,
    which CloudFormation cannot do."""


def read_cloudhsm(context: Context, regions: Collection[str], *, complete: bool) -> CloudHsm:
    """The CloudHSM part of a production deployment; ``complete`` if functions are to use it already.

    Raises ConfigError where a value is missing or malformed.
    """
    layers = by_region(context, "cloudhsm_client", regions)
    group = context("cloudhsm_restored_group")
    if complete and not layers:
        raise ConfigError(
            "--context cloudhsm_client=… is required: region → layer version or folder (docs/cloudhsm.md)"
        )
    if complete and not group:
        raise ConfigError("--context cloudhsm_restored_group=sg-… is required: the copied cluster's security group")
    for region, layer in layers.items():
        if not _LAYER_VERSION.fullmatch(layer) and not Path(layer).exists():
            raise ConfigError(f"cloudhsm_client of {region} is neither a layer version's ARN nor there: {layer}")
    if group and not _SECURITY_GROUP.fullmatch(group):
        raise ConfigError(f"cloudhsm_restored_group must be the id of a security group, not {group!r}")
    return CloudHsm(layers, group)


def read_local(context: Context) -> str:
    """The key store of the local cloud: files, or a PKCS#11 module of this machine."""
    uri = text(context, "key_store", "file:/var/empty/payments-keys")
    if not uri.startswith(("file:/", "pkcs11:")):
        raise ConfigError(f"key_store must be file:<absolute path> or a pkcs11: URI, not {uri!r}")
    return uri


def read_production(context: Context) -> str:
    """The PKCS#11 URI of a production deployment, still without ``pin-source``.

    Raises ConfigError with what is wrong with it.
    """
    uri = text(context, "key_store")
    if not uri.startswith("pkcs11:"):
        raise ConfigError(f"in production the vault's keys are in an HSM: key_store must be a pkcs11: URI, not {uri!r}")
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    attributes, settings = _pairs(path, ";"), _pairs(query, "&")
    if {"pin-source", "pin-value"} & {*attributes, *settings}:
        raise ConfigError("key_store must not say where the PIN is: the stack adds its own secret as pin-source")
    if set(attributes) != {"token", "object"} or set(settings) != {"module-path"} or not all(attributes.values()):
        raise ConfigError(f"key_store must be pkcs11:token=…;object=…?module-path=…, not {uri!r}")
    if not settings["module-path"].startswith("/opt/"):
        raise ConfigError("key_store's module-path must lead into the client's layer, below /opt/")
    return uri


def _pairs(attributes: str, separator: str) -> dict[str, str]:
    found = [part.partition("=") for part in attributes.split(separator) if part]
    return {name: value for name, _, value in found}
