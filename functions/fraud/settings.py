"""Settings of the fraud function, read from the environment once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The bundle's root: the model lies at the same path in a bundle as in the repository.
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Settings:
    """`regions`: every region that writes profiles, this one among them. `card_attempts_per_hour`: see rules.py.
    `profiles_budget_ms`: how long a charge waits for its profiles before it is scored without them.
    `digest_key`: see profiles.py and listed.py; a secret.
    """

    table: str
    rules_table: str
    region: str
    regions: tuple[str, ...]
    model_directory: Path
    card_attempts_per_hour: int
    profiles_budget_ms: int
    digest_key: str = field(default="", repr=False)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables (docs/interfaces.md). Raises KeyError for a missing one."""
    region = environment["AWS_REGION"]
    return Settings(
        table=environment["FRAUD_PROFILES_TABLE"],
        rules_table=environment["FRAUD_RULES_TABLE"],
        region=region,
        regions=tuple(sorted({region, *json.loads(environment["REGIONS"])})),
        model_directory=ROOT / "models" / "fraud",
        card_attempts_per_hour=int(environment.get("CARD_ATTEMPTS_PER_HOUR", "100")),
        profiles_budget_ms=int(environment.get("PROFILES_BUDGET_MS", "150")),
        digest_key=environment.get("PROFILE_DIGEST_KEY", ""),
    )
