"""Values that the functional tests share."""

MERCHANT = "mer_" + "a" * 24
FRAUD = {"score": 3, "reasons": [], "model": "test", "degraded": False, "decision": "allow"}
CARD_FACTS = {
    "token": "tok_x",
    "brand": "visa",
    "network": "visa",
    "bin": "424242",
    "bin8": "42424242",
    "last4": "4242",
    "exp_month": 12,
    "exp_year": 2031,
}
"""What the vault answers about a card."""

AUTHORIZATION = "authorization#" + "f" * 16
"""Id of the first journal of a payment whose request has the fingerprint of `conftest.charge`."""
