"""The chart of accounts: names of the accounts that journal entries debit and credit."""

_GUEST = "guest"


def customer(merchant_id: str, customer_id: str | None) -> str:
    """The account of a merchant's customer; charges without a customer share the merchant's guest account."""
    return f"customer:{merchant_id}:{customer_id or _GUEST}"


def merchant(merchant_id: str) -> str:
    """The account of what the platform owes the merchant."""
    return f"merchant:{merchant_id}"
