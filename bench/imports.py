"""What a charge-path function's import costs a fresh interpreter: wall milliseconds, the least of several tries.

Bytecode is compiled first, as it is in a warm deployment. `PYTHONDONTWRITEBYTECODE` would falsify the figures.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = {
    "functions.authorizer.app": 350,
    "functions.api.app": 450,
    "functions.vault.app": 350,
    "functions.fraud.app": 350,
    "functions.ledger.app": 350,
}
"""Milliseconds, DESIGN section 9."""

_TRIES = 7
_PROBE = "import time; start = time.perf_counter(); import {module}; print((time.perf_counter() - start) * 1000)"


def figures() -> dict[str, tuple[float, float]]:
    """Milliseconds and budget by module."""
    return {module: (_milliseconds(module), budget) for module, budget in BUDGETS.items()}


def _milliseconds(module: str) -> float:
    return min(_once(module) for _ in range(_TRIES))


def _once(module: str) -> float:
    run = subprocess.run(
        [sys.executable, "-c", _PROBE.format(module=module)],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return float(run.stdout)


def _environment() -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/payments/python'}",
        "PYTHONPYCACHEPREFIX": str(ROOT / "build/pycache"),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ENVIRONMENT": "local",
        "VAULT_TABLE": "vault-tokens",
        "CARD_KEYS_TABLE": "vault-card-keys",
        "KEY_STORE": "file:/nowhere",
        "FRAUD_PROFILES_TABLE": "fraud-profiles",
        "FRAUD_RULES_TABLE": "fraud-rules",
        "FRAUD_SCORES_TABLE": "fraud-scores",
        "FRAUD_MODELS_BUCKET": "payments-fraud-models",
        "REGIONS": "{}",
        "EVENT_BUS": "payments",
        "POWERTOOLS_SERVICE_NAME": "bench",
    }


if __name__ == "__main__":
    for name, (milliseconds, budget) in figures().items():
        print(f"{name:28} {milliseconds:6.0f} ms of {budget:.0f}")
