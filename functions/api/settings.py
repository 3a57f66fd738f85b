"""Settings of the API function."""

import msgspec

from payments.settings import load


class ApiSettings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    charge_state_machine_arn: str
    public_key_function: str
    store_function: str
    shred_function: str
    command_function: str
    event_bus: str
    aws_lambda_function_name: str
    raw_cards_allowed: bool = False
    health_budget_ms: int = 1000


def settings() -> ApiSettings:
    """The function's settings, read once."""
    return load(ApiSettings)
