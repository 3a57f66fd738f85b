"""Accounting as plain as it can be: what the platform is compared with. It shares no code with the platform."""

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

BASIS_POINTS, FIXED, DISPUTE = 290, 30, 1500
REFUSED_BY_STATE, REFUSED_BY_AMOUNT = "payment_state_invalid", "amount_too_large"


class Ledger:
    """Counters of accounts: debits and credits, reserved and posted."""

    def __init__(self):
        self.counters = Counter()

    def move(self, debited, credited, amount, currency, **by):
        for counter, factor in by.items():
            self.counters[debited, currency, f"debits_{counter}"] += factor * amount
            self.counters[credited, currency, f"credits_{counter}"] += factor * amount

    def reserve(self, *move):
        self.move(*move, pending=1)

    def release(self, *move):
        self.move(*move, pending=-1)

    def post(self, *move):
        self.move(*move, posted=1)

    def post_reserved(self, *move):
        self.move(*move, pending=-1, posted=1)

    def settled(self):
        """The counters that are not zero."""
        return {key: amount for key, amount in self.counters.items() if amount}


class Payment:
    """One payment: what is left of it, and the bookings of everything that happens to it."""

    def __init__(self, ledger, merchant, customer, amount, currency, at_once):
        self.ledger, self.amount, self.currency, self.at_once = ledger, amount, currency, at_once
        self.customer, self.merchant = f"customer:{merchant}:{customer}", f"merchant:{merchant}"
        self.held, self.network = f"disputes:{merchant}", "network:visa"
        self.decision = None
        self.captured = self.released = self.charged_back = self.disputed = 0
        self.refunds = {}
        ledger.reserve(self.customer, self.merchant, amount, currency)

    @property
    def left(self):
        return self.amount - self.captured - self.released

    @property
    def refundable(self):
        returned = sum(amount for amount, state in self.refunds.values() if state != "failed")
        return self.captured - returned - self.charged_back

    def decide(self, declined):
        if self.decision:
            return
        self.decision = "declined" if declined else "approved"
        if declined:
            self._release(self.amount)
        elif self.at_once:
            self._capture(self.amount)

    def capture(self, amount, final):
        if self.decision != "approved" or not self.left or self.disputed:
            return REFUSED_BY_STATE
        amount = self.left if amount is None else amount
        if not 0 < amount <= self.left:
            return REFUSED_BY_AMOUNT
        self._capture(amount)
        if final:
            self._release(self.left)
        return None

    def void(self):
        if self.decision != "approved" or not self.left or self.disputed:
            return REFUSED_BY_STATE
        self._release(self.left)
        return None

    def refund(self, name, amount):
        if refused := self._refuses_return():
            return refused
        amount = self.refundable if amount is None else amount
        if not 0 < amount <= self.refundable:
            return REFUSED_BY_AMOUNT
        self.refunds[name] = amount, "pending"
        self.ledger.reserve(self.merchant, self.customer, amount, self.currency)
        return None

    def end_refund(self, name, declined):
        amount, state = self.refunds[name]
        if state != "pending":
            return
        self.refunds[name] = amount, "failed" if declined else "succeeded"
        move = self.merchant, self.customer, amount, self.currency
        if declined:
            self.ledger.release(*move)
        else:
            self.ledger.post_reserved(*move)
            self.ledger.post(self.customer, self.network, amount, self.currency)

    def open_dispute(self, amount):
        if refused := self._refuses_return():
            return refused
        amount = self.refundable if amount is None else amount
        if not 0 < amount <= self.refundable:
            return REFUSED_BY_AMOUNT
        self.disputed = amount
        self.ledger.post(self.held, self.network, amount, self.currency)
        self.ledger.reserve(self.merchant, self.held, amount, self.currency)
        self.ledger.post(self.merchant, "fees:platform", DISPUTE, self.currency)
        return None

    def end_dispute(self, won):
        if not self.disputed:
            return REFUSED_BY_STATE
        amount, self.disputed = self.disputed, 0
        if won:
            self.ledger.release(self.merchant, self.held, amount, self.currency)
            self.ledger.post(self.network, self.held, amount, self.currency)
        else:
            self.charged_back += amount
            self.ledger.post_reserved(self.merchant, self.held, amount, self.currency)
        return None

    def _refuses_return(self):
        """Refunds and disputes need something captured, that is not in dispute, nor lost in one, nor gone."""
        if self.decision != "approved" or not self.captured or self.disputed or self.charged_back:
            return REFUSED_BY_STATE
        return None if self.left or self.refundable else REFUSED_BY_STATE

    def _capture(self, amount):
        fee = _percentage(self.captured + amount) - _percentage(self.captured) + (0 if self.captured else FIXED)
        self.captured += amount
        self.ledger.post_reserved(self.customer, self.merchant, amount, self.currency)
        self.ledger.post(self.network, self.customer, amount, self.currency)
        self.ledger.post(self.merchant, "fees:platform", fee, self.currency)

    def _release(self, amount):
        self.released += amount
        self.ledger.release(self.customer, self.merchant, amount, self.currency)


def _percentage(amount):
    return int((Decimal(amount) * BASIS_POINTS / 10_000).quantize(Decimal(1), ROUND_HALF_UP))
