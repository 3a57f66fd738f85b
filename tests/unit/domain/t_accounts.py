"""T-accounts as text: what the journals did to each account, debits left and credits right of the line."""

from decimal import Decimal

from payments.journal import Balance

NAMES = {
    "customer": "customer",
    "network": "network",
    "disputes": "disputes",
    "merchant": "merchant",
    "bank:platform": "bank",
    "fees:platform": "fees earned",
    "fees:network": "network fees",
    "adjustments:platform": "adjustments",
}


def t_accounts(journals):
    """One line per account and phase that anything stands on, in dollars: `merchant pending: 5.00 | 10.00`."""
    balances: dict[str, Balance] = {}
    for journal in journals:
        for entry in journal.entries:
            name = NAMES.get(entry.account) or NAMES[entry.account.partition(":")[0]]
            balances[name] = balances.get(name, Balance()).after(entry)
    lines = set()
    for name, balance in balances.items():
        for phase in ("posted", "pending"):
            debits, credits = getattr(balance, f"debits_{phase}"), getattr(balance, f"credits_{phase}")
            if debits or credits:
                lines.add(_aligned(f"{name} {phase}: {_dollars(debits)} | {_dollars(credits)}"))
    return lines


def written(text):
    """The same from a test's text, however it is aligned; empty lines and ruled lines are for the reader."""
    return {_aligned(line) for line in text.splitlines() if line.strip(" -")}


def _aligned(line):
    return " ".join(line.split())


def _dollars(cents):
    return f"{Decimal(cents) / 100:.2f}" if cents else ""
