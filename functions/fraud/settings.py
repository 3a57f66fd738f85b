"""Settings of the fraud functions, read from the environment once."""

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
    `digest_key`: see profiles.py and listed.py; a secret. `country_database`: a file for country.py, None for the
    packaged one. `scores_rate`: see scores.weight. `lists_budget_ms`: how long it waits for lists and rules.
    """

    table: str
    rules_table: str
    scores_table: str
    scores_rate: float
    models_bucket: str
    region: str
    regions: tuple[str, ...]
    model_directory: Path
    card_attempts_per_hour: int
    profiles_budget_ms: int
    digest_key: str = field(default="", repr=False)
    country_database: Path | None = None
    lists_budget_ms: int = 250


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What the function needs that writes labels; as in `Settings`."""

    table: str
    scores_table: str
    region: str
    regions: tuple[str, ...]
    digest_key: str = field(default="", repr=False)


def read_label_settings(environment: Mapping[str, str]) -> LabelSettings:
    """Settings from environment variables (docs/interfaces.md). Raises KeyError for a missing one."""
    return LabelSettings(
        table=environment["FRAUD_PROFILES_TABLE"],
        scores_table=environment["FRAUD_SCORES_TABLE"],
        region=environment["AWS_REGION"],
        regions=_regions(environment),
        digest_key=environment.get("PROFILE_DIGEST_KEY", ""),
    )


def _regions(environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted({environment["AWS_REGION"], *json.loads(environment["REGIONS"])}))


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables (docs/interfaces.md). Raises KeyError for a missing one, and ValueError for
    one that cannot be."""
    rate = float(environment.get("SCORES_RATE", "1"))
    if not 0 <= rate <= 1:
        raise ValueError(f"SCORES_RATE must be between 0 and 1, not {rate}")
    return Settings(
        table=environment["FRAUD_PROFILES_TABLE"],
        rules_table=environment["FRAUD_RULES_TABLE"],
        scores_table=environment["FRAUD_SCORES_TABLE"],
        scores_rate=rate,
        models_bucket=environment["FRAUD_MODELS_BUCKET"],
        region=environment["AWS_REGION"],
        regions=_regions(environment),
        model_directory=ROOT / "models" / "fraud",
        card_attempts_per_hour=int(environment.get("CARD_ATTEMPTS_PER_HOUR", "100")),
        profiles_budget_ms=int(environment.get("PROFILES_BUDGET_MS", "150")),
        digest_key=environment.get("PROFILE_DIGEST_KEY", ""),
        lists_budget_ms=int(environment.get("LISTS_BUDGET_MS", "250")),
        country_database=Path(file) if (file := environment.get("COUNTRY_DATABASE")) else None,
    )
