"""Random commands, retries, duplicates, reordering and crashes through the real handlers, against plain accounting.

Whatever happens, after every step: each journal balances, the accounts are the model's, refunds never exceed captures
(not in the books and not at the card network), and the journals alone say what the payment says.
"""

import json
import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from functions.projector.chunks import unpack
from functions.sweeper import orphans
from payments import books, clock, conflicts, identifiers, records, replay
from payments.records import StoredJournal, plain
from tests.functional.ledger import accounting
from tests.functional.ledger.accounting import Ledger, Payment
from tests.functional.ledger.card_network import DECLINED, REFUND_DECLINED
from tests.functional.ledger.world import SHARD, World
from tests.functional.samples import CARD_FACTS, MERCHANT

EXAMPLES, STEPS = int(os.environ.get("LEDGER_EXAMPLES", "200")), 50
"""A night's run may take more."""

amounts = st.one_of(st.none(), st.integers(1, 3000), st.sampled_from([1, 7, 107, 205, 1000, 99_999_999]))
crash_points = st.one_of(st.none(), st.none(), st.integers(0, 6))
anything = st.integers(0, 10**6)


class Machine(RuleBasedStateMachine):
    """Payments of one merchant, played on both the platform and the model."""

    fresh_world = None
    context = None

    @initialize()
    def start(self):
        self.world = self.fresh_world()
        self.ledger, self.payments, self.charges, self.done, self.started = Ledger(), {}, {}, [], 0

    @rule(
        amount=st.one_of(st.integers(1, 5000), st.sampled_from([105, 251, 291, 1])),
        currency=st.sampled_from(["USD", "USD", "JPY", "KWD"]),
        customer=st.sampled_from(["cus_1", None]),
        at_once=st.booleans(),
        crash=crash_points,
        after=st.booleans(),
    )
    def charge(self, amount, currency, customer, at_once, crash, after):
        payment_id = identifiers.payment_id(MERCHANT, f"charge-{len(self.charges)}")
        self.charges[payment_id] = {
            "payment_id": payment_id,
            "attempt": identifiers.new_attempt(),
            "merchant_id": MERCHANT,
            "shard": SHARD,
            "epoch": 0,
            "mapped_at": clock.now(),
            "fingerprint": "f" * 64,
            "amount": amount,
            "currency": currency,
            "capture": at_once,
            "created_at": clock.now(),
            "network_ref": identifiers.network_reference(payment_id),
            "fees": {"basis_points": accounting.BASIS_POINTS, "fixed": accounting.FIXED, "dispute": accounting.DISPUTE},
            "card": CARD_FACTS,
            "customer": {"id": customer} if customer else None,
            "description": None,
            "metadata": {},
        }
        self._post(payment_id, crash, after)

    @precondition(lambda self: self.charges)
    @rule(which=anything, new_attempt=st.booleans(), crash=crash_points, after=st.booleans())
    def charge_again(self, which, new_attempt, crash, after):
        payment_id = self._pick(self.charges, which)
        if new_attempt:
            self.charges[payment_id] = {**self.charges[payment_id], "attempt": identifiers.new_attempt()}
        self._post(payment_id, crash, after)

    @staticmethod
    def _pick(among, which):
        return list(among)[which % len(among)]

    def _post(self, payment_id, crash, after):
        charge = self.charges[payment_id]
        survived, answer = self.world.crashes.run(crash, after, lambda: self.world.post(charge))
        if survived:
            assert answer["result"] in ("posted", "exists")
        if payment_id not in self.payments and self.world.payment(payment_id):
            customer = (charge["customer"] or {"id": "guest"})["id"]
            terms = charge["amount"], charge["currency"], charge["capture"]
            self.payments[payment_id] = Payment(self.ledger, MERCHANT, customer, *terms)

    @precondition(lambda self: self.payments)
    @rule(
        which=anything,
        command=st.sampled_from(["capture", "capture", "void", "refund", "refund", "open_dispute", "win", "lose"]),
        amount=amounts,
        final=st.booleans(),
        crash=crash_points,
        after=st.booleans(),
    )
    def command(self, which, command, amount, final, crash, after):
        request = self._request(command, self._pick(self.payments, which), amount, final)
        survived, answer = self.world.crashes.run(crash, after, lambda: self.world.command(request))
        command_id = identifiers.command_id(MERCHANT, request["key"])
        if not survived and books.command_record(command_id) is None:
            return
        refused = self._play(request, command_id)
        if survived:
            assert (answer["result"], answer.get("code")) == (("refused", refused) if refused else ("done", None))
        assert refused or books.command_record(command_id)
        if not refused:
            self.done.append((request, answer["answer"] if survived else None))

    def _play(self, request, command_id):
        """The command on the model; why the model refuses it."""
        payment, amount = self.payments[request["payment_id"]], request["amount"]
        match request["command"]:
            case "capture":
                return payment.capture(amount, request["final"])
            case "void":
                return payment.void()
            case "refund":
                return payment.refund(identifiers.operation_id("ref", command_id), amount)
            case "open_dispute":
                return payment.open_dispute(amount)
            case ended:
                return payment.end_dispute(won=ended == "win_dispute")

    @precondition(lambda self: self.payments)
    @rule(
        which=anything,
        commands=st.tuples(*[st.sampled_from(["capture", "void", "refund", "refund", "open_dispute"])] * 2),
        amounts=st.tuples(amounts, amounts),
        call=st.sampled_from([0, 1, 2, 3, 3, 3]),
    )
    def two_commands_at_once(self, which, commands, amounts, call):
        """The second one is carried out between two calls of the first."""
        payment_id, answers = self._pick(self.payments, which), {}
        pairs = zip(commands, amounts, strict=True)
        requests = [self._request(command, payment_id, amount) for command, amount in pairs]

        def carry_out(number):
            answers[number] = self.world.command(requests[number])

        with self.world.crashes.meanwhile(call, lambda: carry_out(1)):
            carry_out(0)
        order = {name: journal.sequence for journal in books.journals(payment_id) for name in [journal.journal_id]}
        done = [number for number in answers if answers[number]["result"] == "done"]
        for number in sorted(done, key=lambda number: order[self._journal_of(requests[number])]):
            command_id = identifiers.command_id(MERCHANT, requests[number]["key"])
            assert self._play(requests[number], command_id) is None
            self.done.append((requests[number], answers[number]["answer"]))

    def _journal_of(self, request):
        prefix = {"capture": "cap", "void": "vod", "refund": "ref", "open_dispute": "dsp"}[request["command"]]
        return identifiers.operation_id(prefix, identifiers.command_id(MERCHANT, request["key"]))

    def _request(self, command, payment_id, amount, final=False):
        self.started += 1
        return {
            "command": {"win": "win_dispute", "lose": "lose_dispute"}.get(command, command),
            "payment_id": payment_id,
            "merchant_id": MERCHANT,
            "key": f"command-{self.started}",
            "fingerprint": f"{self.started:064d}",
            "amount": amount,
            "final": final,
            "reason": None,
        }

    @precondition(lambda self: self.done)
    @rule(which=anything, crash=crash_points, after=st.booleans())
    def repeat_a_command(self, which, crash, after):
        request, first = self.done[which % len(self.done)]
        survived, answer = self.world.crashes.run(crash, after, lambda: self.world.command(request))
        if survived:
            assert answer["result"] == "replayed"
            assert first is None or answer["answer"] == first

    @precondition(lambda self: self.done)
    @rule(which=anything)
    def reuse_a_key(self, which):
        request, _ = self.done[which % len(self.done)]
        answer = self.world.command({**request, "fingerprint": "0" * 64, "amount": 1})
        assert (answer["result"], answer["code"]) == ("refused", "idempotency_key_reused")

    @precondition(lambda self: self.world.messages)
    @rule(which=anything, again=st.booleans(), crash=crash_points, after=st.booleans())
    def deliver(self, which, again, crash, after):
        """In any order; a message may come again, and does when the worker died of it."""
        index = which % len(self.world.messages)
        event = self.world.messages[index]
        survived, finished = self.world.crashes.run(crash, after, lambda: self.world.deliver(event))
        self._hear(event)
        if survived and finished and not again:
            self.world.messages.remove(event)

    def _hear(self, event):
        """The network's answer, on the model, once the books have it."""
        payment_id, operation = event["payment_id"], event.get("operation")
        payment = self.payments[payment_id]
        told = replay.replay(books.journals(payment_id))
        if not operation:
            if not self.world.payment(payment_id).pending:
                payment.decide(declined=payment.amount % 100 in DECLINED)
        elif operation.startswith("ref_") and operation not in told.operations:
            amount, _ = payment.refunds[operation]
            payment.end_refund(operation, declined=amount % 100 == REFUND_DECLINED)

    @precondition(lambda self: self.world.messages)
    @rule(which=anything)
    def lose_a_message(self, which):
        self.world.messages.pop(which % len(self.world.messages))

    @rule(crash=crash_points, after=st.booleans())
    def sweep(self, crash, after):
        self.world.crashes.run(crash, after, lambda: self.world.sweep(self.context))

    @precondition(lambda self: self.world.projected < len(self.world.stream))
    @rule(size=st.integers(1, 12), again=st.booleans(), crash=crash_points, after=st.booleans())
    def project(self, size, again, crash, after):
        """A batch of the stream; if it failed, or nobody noted that it did not, it comes again from the same record."""
        first, last = self.world.projected, min(self.world.projected + size, len(self.world.stream))
        project = lambda: self.world.project(first, last, self.context)  # noqa: E731
        survived, _ = self.world.crashes.run(crash, after, project)
        if again or not survived:
            last = len(self.world.stream)
            self.world.project(first, last, self.context)
        self.world.projected = last

    @invariant()
    def the_platform_is_the_model(self):
        if hasattr(self, "world"):
            self.world.look()
            self._check_accounts()
            for payment_id, model in self.payments.items():
                self._check_payment(self.world.payments[payment_id], model)
            assert self.world.network.refusals == self.world.network.exceeded == []

    def _check_accounts(self):
        """Every journal balances, and all of them together are the model's accounts."""
        counted = {}
        for journal in (journal for journals in self.world.journals.values() for journal in journals):
            sums = {}
            for entry in (line["M"] for line in journal["entries"]["L"]):
                account, side, phase, currency = (entry[n]["S"] for n in ("account", "side", "phase", "currency"))
                amount = int(entry["amount"]["N"])
                sums[currency, phase] = sums.get((currency, phase), 0) + (amount if side == "debit" else -amount)
                for counter, factor in COUNTED[phase].items():
                    place = account, currency, f"{side}s_{counter}"
                    counted[place] = counted.get(place, 0) + factor * amount
            assert not any(sums.values()), journal
        assert {key: amount for key, amount in counted.items() if amount} == self.ledger.settled()

    def _check_payment(self, payment, model):
        """The payment is what its journals say and what the model says; nothing more went back than came in."""
        journals = [StoredJournal.of(plain(item)).journal() for item in self.world.journals[payment.payment_id]]
        told = replay.replay(journals)
        amounts = payment.amount_captured, payment.amount_released, payment.amount_refunded
        assert amounts == (told.captured, told.released, told.refunded)
        assert amounts == (model.captured, model.released, model.captured - model.refundable - model.charged_back)
        assert payment.amount_charged_back == told.charged_back == model.charged_back
        assert 0 <= payment.amount_refunded + payment.amount_charged_back <= payment.amount_captured <= payment.amount
        assert replay.mended(payment, journals, "now") is payment
        if payment.network_ref in self.world.network.authorizations:
            captured = self.world.network.captured(payment.network_ref)
            assert self.world.network.refunded(payment.network_ref) <= captured <= payment.amount

    def teardown(self):
        """When the faults end, everything comes to its end: nothing waits, and the projection is the ledger."""
        if not hasattr(self, "world"):
            return
        for _ in range(4):
            self.world.sweep(self.context)
            for event in list(self.world.messages):
                assert self.world.deliver(event)
                self._hear(event)
            self.world.messages.clear()
        self.the_platform_is_the_model()
        for payment_id, model in self.payments.items():
            payment = self.world.payment(payment_id)
            assert not payment.pending
            assert not payment.outstanding
            if model.decision == "approved":
                assert self.world.network.captured(payment.network_ref) == model.captured
                assert self.world.network.released(payment.network_ref) == model.released
        if self.world.projected < len(self.world.stream):
            self.world.project(self.world.projected, len(self.world.stream), self.context)
        assert self.world.balances() == expected_projection(self.ledger.settled())
        self._check_projections()

    def _check_projections(self):
        """Every journal is counted on its own day, and is in the history and in the feed, once."""
        journals = [journal for journals in self.world.journals.values() for journal in journals]
        days = {item["period"]["S"].partition("#")[2][:10] for item in self.world.stored("balances")} - {""}
        assert days == {journal["created_at"]["S"][:10] for journal in journals}
        names = sorted(f"{item['payment_id']['S']}#{item['journal_id']['S']}" for item in journals)
        rows = [row["position"]["S"].partition("#")[2] for row in self.world.stored("accounts")]
        assert sorted(rows) == names
        lines = [line for item in self.world.stored("proofs") for line in unpack(item["journals"]["B"])]
        assert sorted("#".join((found["payment_id"], found["journal_id"])) for found in map(json.loads, lines)) == names


COUNTED = {
    "pending": {"pending": 1},
    "post_pending": {"pending": -1, "posted": 1},
    "void_pending": {"pending": -1},
    "posted": {"posted": 1},
}


def expected_projection(accounts):
    """What the projector shows of these accounts: merchants' own, and every control account of the shard."""
    found = {}
    controls = {"customer": "customers", "merchant": "merchants", "disputes": "disputes"}
    for (account, currency, counter), amount in accounts.items():
        kind = account.partition(":")[0]
        if kind in ("merchant", "disputes"):
            found[account, currency, counter] = amount
        place = f"shard:{SHARD:03d}", currency, f"{controls.get(kind, account)}/{counter}"
        found[place] = found.get(place, 0) + amount
    return {key: amount for key, amount in found.items() if amount}


@pytest.fixture
def machine(remake_tables, monkeypatch, context):
    """The state machine, with a new account for every example. The sweeper has few lists to read at every turn."""
    monkeypatch.setattr(orphans, "PENDING_TOO_LONG", timedelta(seconds=-5))
    for module, name in ((records, "PENDING_BUCKETS"), (books, "PENDING_BUCKETS"), (conflicts, "REVIEW_BUCKETS")):
        monkeypatch.setattr(module, name, 2)

    world = World(monkeypatch)

    def fresh_world():
        remake_tables()
        world.forget()
        return world

    Machine.fresh_world = staticmethod(fresh_world)
    Machine.context = context
    return Machine


def test_whatever_happens_the_books_are_those_of_plain_accounting(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="CI" in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
