"""The scenarios of an accounting textbook, as an accountant writes them: debits left, credits right, in dollars.

Each text is the whole of the books after the operations above it; an account that is not named has nothing on it. What
is `pending` is reserved, and in no balance yet.
"""

from dataclasses import replace

import pytest

from payments import lifecycle, transfers
from payments.fees import FeePlan
from payments.journal import Balance, reversal
from payments.lifecycle import Authorization, Failure
from tests.unit.domain.samples import AT, MERCHANT, new_payment
from tests.unit.domain.t_accounts import t_accounts, written

NO_FEES = FeePlan()
USUAL = FeePlan(basis_points=290, fixed=30, dispute=1500)
"""2.90 % and 0.30 of a sale, 15.00 for a dispute."""

DECLINED = Failure("refund_declined", "The card network declined the refund.")


class Books:
    """A payment of 100.00 and the journals that its operations write."""

    def __init__(self, fees=NO_FEES, capture=True):
        self.payment = new_payment(amount=10_000, fees=fees, capture=capture)
        self.journals = [lifecycle.authorization_journal(self.payment)]

    def do(self, command, *arguments):
        self.payment, journal = command(self.payment, *arguments)
        self.journals += [journal] if journal else []
        return self

    def approve(self):
        return self.do(lifecycle.decide, Authorization(), AT)

    def decline(self):
        return self.do(lifecycle.decide, Authorization(Failure("card_declined", "No.")), AT)

    def capture(self, amount, final=False):
        return self.do(lifecycle.capture, f"cap_{amount}", amount, final, AT)

    def void(self):
        return self.do(lifecycle.void, "vod_1", AT)

    def refund(self, amount):
        return self.do(lifecycle.refund, f"ref_{amount}", amount, AT)

    def refunded(self, amount, failure=None):
        return self.do(lifecycle.end_refund, f"ref_{amount}", failure, AT)

    def dispute(self, amount=None):
        return self.do(lifecycle.open_dispute, "dsp_1", amount, AT)

    def win(self):
        return self.do(lifecycle.win_dispute, AT)

    def lose(self):
        return self.do(lifecycle.lose_dispute, AT)

    def settle(self, amount, fee):
        settled = transfers.Settled(captured=amount, fees=fee)
        self.journals.append(transfers.settlement(self.payment.shard, f"line-{amount}", "visa", "USD", settled, AT))
        return self

    def book(self, build, amount):
        self.journals.append(build(MERCHANT, f"r-{len(self.journals)}", amount, "USD", AT))
        return self

    def reverse_last(self):
        self.journals.append(reversal(self.journals[-1], AT, "booked by mistake"))
        return self

    def stand(self, text):
        """The books stand as the text says, and balance."""
        assert t_accounts(self.journals) == written(text)
        total = Balance()
        for journal in self.journals:
            for entry in journal.entries:
                total = total.after(entry)
        assert total.balanced
        return self

    @property
    def available(self):
        """What can be paid out to the merchant, in cents."""
        balance = Balance()
        for journal in self.journals:
            for entry in journal.entries:
                if entry.account == f"merchant:{MERCHANT}":
                    balance = balance.after(entry)
        return balance.available


def test_a_sale():
    """Authorized, the amount is reserved; captured, the network owes it to us and we to the merchant."""
    books = Books()
    books.stand("""
        customer  pending:   100.00 |
        merchant  pending:          | 100.00
    """)

    books.approve().stand("""
        customer  posted:    100.00 | 100.00
        network   posted:    100.00 |
        merchant  posted:           | 100.00
    """)
    assert books.available == 10_000


def test_a_sale_with_its_fee():
    """2.90 % of 100.00 and 0.30 are 3.20, taken from what is owed to the merchant."""
    books = Books(USUAL).approve()

    books.stand("""
        customer     posted: 100.00 | 100.00
        network      posted: 100.00 |
        merchant     posted:   3.20 | 100.00
        fees earned  posted:        |   3.20
    """)
    assert books.available == 9_680


def test_a_declined_sale_leaves_nothing():
    Books(USUAL).decline().stand("")


def test_a_sale_captured_in_three_parts_costs_the_fee_of_the_whole():
    """33.33 + 33.33 + 33.34; the fees are 0.97 + 0.30, 0.96 and 0.97: together 3.20, as of one capture."""
    books = Books(USUAL, capture=False).approve()

    books.capture(3333).stand("""
        customer     pending:  66.67 |
        merchant     pending:        |  66.67
        ---
        customer     posted:   33.33 |  33.33
        network      posted:   33.33 |
        merchant     posted:    1.27 |  33.33
        fees earned  posted:         |   1.27
    """)
    books.capture(3333).capture(3334).stand("""
        customer     posted:  100.00 | 100.00
        network      posted:  100.00 |
        merchant     posted:    3.20 | 100.00
        fees earned  posted:         |   3.20
    """)


def test_a_final_capture_of_less_releases_the_rest():
    Books(capture=False).approve().capture(6000, final=True).stand("""
        customer  posted:  60.00 | 60.00
        network   posted:  60.00 |
        merchant  posted:        | 60.00
    """)


def test_a_void_releases_what_was_reserved():
    books = Books(USUAL, capture=False).approve()
    books.stand("""
        customer  pending:  100.00 |
        merchant  pending:         | 100.00
    """)

    books.void().stand("")


def test_a_void_after_a_part_was_captured_releases_the_rest():
    Books(capture=False).approve().capture(4000).void().stand("""
        customer  posted:  40.00 | 40.00
        network   posted:  40.00 |
        merchant  posted:        | 40.00
    """)


def test_a_full_refund_keeps_the_fee():
    """Asked for, it is reserved, so that the merchant cannot be paid it too; done, the network takes it back."""
    books = Books(USUAL).approve().refund(10_000)
    books.stand("""
        customer     pending:        | 100.00
        merchant     pending: 100.00 |
        ---
        customer     posted:  100.00 | 100.00
        network      posted:  100.00 |
        merchant     posted:    3.20 | 100.00
        fees earned  posted:         |   3.20
    """)
    assert books.available == -320

    books.refunded(10_000).stand("""
        customer     posted:  200.00 | 200.00
        network      posted:  100.00 | 100.00
        merchant     posted:  103.20 | 100.00
        fees earned  posted:         |   3.20
    """)
    assert books.available == -320


def test_a_partial_refund():
    books = Books().approve().refund(2500).refunded(2500)

    books.stand("""
        customer  posted:  125.00 | 125.00
        network   posted:  100.00 |  25.00
        merchant  posted:   25.00 | 100.00
    """)
    assert books.available == 7_500


def test_a_declined_refund_leaves_the_sale_as_it_was():
    Books().approve().refund(2500).refunded(2500, DECLINED).stand("""
        customer  posted:  100.00 | 100.00
        network   posted:  100.00 |
        merchant  posted:         | 100.00
    """)


DISPUTED = """
    disputes     pending:        | 100.00
    merchant     pending: 100.00 |
    ---
    customer     posted:  100.00 | 100.00
    network      posted:  100.00 | 100.00
    disputes     posted:  100.00 |
    merchant     posted:   18.20 | 100.00
    fees earned  posted:         |  18.20
"""
"""The network has taken 100.00 back. It is not the merchant's loss yet, but reserved; the fee of 15.00 is taken."""


def test_a_chargeback_that_is_lost():
    books = Books(USUAL).approve().dispute().stand(DISPUTED)
    assert books.available == -1_820

    books.lose().stand("""
        customer     posted:  100.00 | 100.00
        network      posted:  100.00 | 100.00
        disputes     posted:  100.00 | 100.00
        merchant     posted:  118.20 | 100.00
        fees earned  posted:         |  18.20
    """)
    assert books.available == -1_820


def test_a_chargeback_and_a_representment_that_is_won():
    """The network gives the amount back; the fee of the dispute is kept."""
    books = Books(USUAL).approve().dispute().stand(DISPUTED).win()

    books.stand("""
        customer     posted:  100.00 | 100.00
        network      posted:  200.00 | 100.00
        disputes     posted:  100.00 | 100.00
        merchant     posted:   18.20 | 100.00
        fees earned  posted:         |  18.20
    """)
    assert books.available == 8_180


def test_a_chargeback_of_a_part():
    Books().approve().dispute(4000).lose().stand("""
        customer  posted:  100.00 | 100.00
        network   posted:  100.00 |  40.00
        disputes  posted:   40.00 |  40.00
        merchant  posted:   40.00 | 100.00
    """)


def test_settlement_and_payout():
    """The network pays 100.00 less its 1.80; the merchant is paid what is available; what stays at the bank is the
    platform's margin, the fee earned less the network's."""
    books = Books(USUAL).approve().settle(10_000, 180)
    books.stand("""
        bank          posted:  98.20 |
        network fees  posted:   1.80 |
        customer      posted: 100.00 | 100.00
        network       posted: 100.00 | 100.00
        merchant      posted:   3.20 | 100.00
        fees earned   posted:        |   3.20
    """)

    books.book(transfers.payout, books.available).stand("""
        bank          posted:  98.20 |  96.80
        network fees  posted:   1.80 |
        customer      posted: 100.00 | 100.00
        network       posted: 100.00 | 100.00
        merchant      posted: 100.00 | 100.00
        fees earned   posted:        |   3.20
    """)
    assert books.available == 0


def test_a_settlement_in_two_lines_one_of_which_the_network_keeps_whole():
    Books().approve().settle(9_900, 0).settle(100, 100).stand("""
        bank          posted:  99.00 |
        network fees  posted:   1.00 |
        customer      posted: 100.00 | 100.00
        network       posted: 100.00 | 100.00
        merchant      posted:        | 100.00
    """)


def test_a_fee_that_belongs_to_no_payment():
    Books().approve().book(transfers.fee, 999).stand("""
        customer     posted: 100.00 | 100.00
        network      posted: 100.00 |
        merchant     posted:   9.99 | 100.00
        fees earned  posted:        |   9.99
    """)


def test_an_adjustment_and_the_reversal_that_corrects_it():
    """Nothing is ever erased: the mistake and its correction both stand, and come to nothing."""
    books = Books().approve().book(transfers.adjustment, 500)
    books.stand("""
        adjustments  posted:   5.00 |
        customer     posted: 100.00 | 100.00
        network      posted: 100.00 |
        merchant     posted:        | 105.00
    """)

    books.reverse_last().stand("""
        adjustments  posted:   5.00 |   5.00
        customer     posted: 100.00 | 100.00
        network      posted: 100.00 |
        merchant     posted:   5.00 | 105.00
    """)
    assert books.journals[-1].reverses == books.journals[-2].journal_id
    assert books.available == 10_000


def test_an_adjustment_that_takes():
    Books().approve().book(transfers.adjustment, -500).stand("""
        adjustments  posted:        |   5.00
        customer     posted: 100.00 | 100.00
        network      posted: 100.00 |
        merchant     posted:   5.00 | 100.00
    """)


def test_a_year_of_one_payment():
    """Captured in parts, refunded in part, disputed and won, settled, and paid out to the cent."""
    books = Books(USUAL, capture=False).approve().capture(7000).capture(2000, final=True)
    books.refund(500).refunded(500).dispute(8500).win().settle(9000, 160)

    books.book(transfers.payout, books.available).stand("""
        bank          posted:  88.40 |  67.09
        network fees  posted:   1.60 |
        customer      posted:  95.00 |  95.00
        network       posted: 175.00 | 180.00
        disputes      posted:  85.00 |  85.00
        merchant      posted:  90.00 |  90.00
        fees earned   posted:        |  17.91
    """)


@pytest.mark.parametrize(
    "wrong",
    [
        "merchant posted: | 100.00",
        "customer pending: 100.00 | 100.00",
        "customer pending: 100.00 |\nmerchant pending: | 100.01",
        "customer pending: 100.00 |\nmerchant pending: | 100.00\nbank posted: | 1.00",
    ],
)
def test_a_text_that_is_wrong_is_not_accepted(wrong):
    with pytest.raises(AssertionError):
        Books().stand(wrong)


def test_books_that_do_not_balance_are_not_accepted():
    books = Books()
    books.journals = [replace(journal) for journal in books.journals]
    object.__setattr__(books.journals[0], "entries", books.journals[0].entries[:1])

    with pytest.raises(AssertionError):
        books.stand("customer pending: 100.00 |")
