"""The chart of accounts: what journal entries debit and credit, and which general-ledger account each belongs to.

| account | what it is | kind |
|---|---|---|
| `customer:<merchant>:<customer>` | what a cardholder owes for a charge, until the network owes it | asset |
| `network:<name>` | captured and not yet settled by the card network (clearing) | asset |
| `disputes:<merchant>` | taken back by the network while a dispute is open | asset |
| `bank:platform` | money at the bank | asset |
| `merchant:<merchant>` | what the platform owes the merchant | liability |
| `fees:platform` | fees earned of merchants | income |
| `fees:network` | fees paid to card networks | expense |
| `adjustments:platform` | what was given or taken without a payment | expense |

Accounts of one merchant are a subsidiary ledger; the general ledger keeps one control account for all of a kind.
"""

FEES = "fees:platform"
NETWORK_FEES = "fees:network"
BANK = "bank:platform"
ADJUSTMENTS = "adjustments:platform"

NETWORKS = ("visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay")
"""Card networks that there are clearing accounts of."""

_GUEST = "guest"
_CONTROLS = {"customer": "customers", "merchant": "merchants", "disputes": "disputes"}


def customer(merchant_id: str, customer_id: str | None) -> str:
    """The account of a merchant's customer; charges without a customer share the merchant's guest account."""
    return f"customer:{merchant_id}:{customer_id or _GUEST}"


def merchant(merchant_id: str) -> str:
    """The account of what the platform owes the merchant."""
    return f"merchant:{merchant_id}"


def disputes(merchant_id: str) -> str:
    """The account of the merchant's amounts that are in dispute."""
    return f"disputes:{merchant_id}"


def network(name: str) -> str:
    """The clearing account of a card network, such as `visa`."""
    return f"network:{name}"


def control(account: str) -> str:
    """The general-ledger account that an account is part of: `customers` for every customer's, itself for the
    platform's own."""
    return _CONTROLS.get(account.partition(":")[0], account)


def known(account: str) -> bool:
    """Whether the account is in the chart. Customers' and merchants' names are anybody's, the platform's are not."""
    return control(account) in _CHART


def owner(account: str) -> str | None:
    """The merchant whose subsidiary ledger the account belongs to; None for the platform's own accounts."""
    kind, _, rest = account.partition(":")
    return rest.partition(":")[0] if kind in _CONTROLS else None


_CHART = frozenset({*_CONTROLS.values(), *map(network, NETWORKS), FEES, NETWORK_FEES, BANK, ADJUSTMENTS})
