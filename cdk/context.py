"""Reads single values of the CDK context. What they mean for a deployment is decided in config.py."""

import json
from collections.abc import Callable, Collection
from typing import Any

Context = Callable[[str], Any]


class ConfigError(ValueError):
    """The context describes no deployment that may exist."""


def text(context: Context, name: str, default: str | None = None) -> str:
    """A value, or the default; with neither it is required."""
    value = context(name) or default
    if value is None:
        raise ConfigError(f"--context {name}=… is required in production")
    return str(value)


def https(context: Context, name: str) -> str:
    """A required URL that nobody can read along on the way to."""
    url = text(context, name)
    if not url.startswith("https://"):
        raise ConfigError(f"{name} must begin with https:// in production")
    return url


def flag(context: Context, name: str, *, default: bool) -> bool:
    """``true`` or ``false``."""
    value = context(name)
    if value is None:
        return default
    if str(value).lower() not in ("true", "false"):
        raise ConfigError(f"{name} must be true or false, not {value!r}")
    return str(value).lower() == "true"


def whole(context: Context, name: str, *, default: int) -> int:
    """A number, 0 or more."""
    value = context(name)
    if value is None:
        return default
    if not str(value).isdecimal():
        raise ConfigError(f"{name} must be a whole number, 0 or more, not {value!r}")
    return int(value)


def by_region(context: Context, name: str, regions: Collection[str]) -> dict[str, str]:
    """A JSON object with exactly these regions; empty where there is no value."""
    value = context(name)
    if value is None:
        return {}
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name} is no JSON: {error}") from error
    if not isinstance(found, dict) or set(found) != set(regions):
        raise ConfigError(f"{name} must be a JSON object with exactly the regions {', '.join(regions)}")
    return {region: str(found[region]) for region in regions}
