"""What journals add to balances is what an accountant would add up by hand."""

from collections import defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from payments import accounts, identifiers, projection
from payments.journal import Balance, Entry, Journal, Kind, Phase, Side, transfer
from tests.unit.domain.samples import MERCHANT, new_payment

names = st.sampled_from(
    [
        accounts.merchant(MERCHANT),
        accounts.merchant("mer_b"),
        accounts.disputes(MERCHANT),
        accounts.customer(MERCHANT, "cus_1"),
        accounts.customer(MERCHANT, None),
        accounts.network("visa"),
        accounts.network("mastercard"),
        accounts.BANK,
        accounts.FEES,
        accounts.NETWORK_FEES,
        accounts.ADJUSTMENTS,
    ]
)
ids = st.sampled_from([identifiers.payment_id(merchant, "key") for merchant in (MERCHANT, "mer_b", "mer_c")])
times = st.sampled_from(["2026-11-23T00:00:00.000Z", "2026-11-23T23:59:59.999Z", "2026-11-24T00:00:00.000Z"])
lines = st.builds(
    transfer, names, names, st.integers(1, 10**8), st.sampled_from(["USD", "JPY"]), st.sampled_from(Phase)
)


@st.composite
def journals(draw):
    entries = tuple(entry for pair in draw(st.lists(lines, min_size=1, max_size=4)) for entry in pair)
    return Journal(draw(ids), "j", Kind.CHARGE, draw(times), entries)


def by_hand(journals):
    """Four columns per account, day and currency, and per shard and control account, written out."""
    found = defaultdict(lambda: defaultdict(int))
    for journal in journals:
        shard = f"shard:{identifiers.shard_of(journal.payment_id):03d}"
        for entry in journal.entries:
            when = f"{entry.currency}#{journal.created_at[:10]}"
            columns = {
                Phase.PENDING: {"pending": entry.amount},
                Phase.POST_PENDING: {"pending": -entry.amount, "posted": entry.amount},
                Phase.VOID_PENDING: {"pending": -entry.amount},
                Phase.POSTED: {"posted": entry.amount},
            }[entry.phase]
            side = "debits" if entry.side is Side.DEBIT else "credits"
            for column, amount in columns.items():
                found[shard, when][f"{accounts.control(entry.account)}/{side}_{column}"] += amount
                if entry.account.startswith("merchant:") or entry.account.startswith("disputes:"):
                    found[entry.account, when][f"{side}_{column}"] += amount
    return found


def nonzero(sums):
    return {key: {name: value for name, value in counters.items() if value} for key, counters in sums.items()}


@given(st.lists(journals(), max_size=8))
@settings(max_examples=200, deadline=None)
def test_the_sums_are_those_made_by_hand(found):
    assert nonzero(projection.sums(found)) == nonzero(by_hand(found))


@given(st.lists(journals(), max_size=6), st.lists(journals(), max_size=6))
@settings(max_examples=100, deadline=None)
def test_batches_add_up_to_the_whole(first, second):
    whole = projection.sums([*first, *second])

    parts = projection.sums(first)
    for key, counters in projection.sums(second).items():
        for name, value in counters.items():
            parts.setdefault(key, type(counters)())[name] += value
    assert nonzero(parts) == nonzero(whole)


@given(st.lists(journals(), max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_general_ledger_balances_in_itself_per_shard_currency_and_day(found):
    for (account, _), counters in projection.sums(found).items():
        if account.startswith("shard:"):
            assert sum(projection.trial_balance(counters).values(), Balance()).balanced


@given(st.lists(journals(), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_control_account_is_the_sum_of_its_subsidiary_ledger(found):
    sums = projection.sums([replace(journal, payment_id=found[0].payment_id) for journal in found])
    for (account, when), counters in sums.items():
        if account.startswith("shard:"):
            for control, prefix in (("merchants", "merchant:"), ("disputes", "disputes:")):
                parts = [projection.balance(sums[key]) for key in sums if key[0].startswith(prefix) and key[1] == when]
                assert projection.balance(counters, control) == sum(parts, Balance())


def test_an_unbalanced_journal_is_counted_as_it_is():
    """The projector must not lose it: the general ledger shows what is wrong."""
    from payments.records import StoredJournal

    payment = new_payment()
    entry = Entry(accounts.BANK, Side.DEBIT, Phase.POSTED, 5, "USD")
    stored = StoredJournal(payment.payment_id, "j", "charge", payment.created_at, "us-east-1", 1, (entry,))

    (counters,) = projection.sums([stored]).values()

    assert projection.trial_balance(counters) == {accounts.BANK: Balance(debits_posted=5)}
    assert not projection.trial_balance(counters)[accounts.BANK].balanced


def test_other_attributes_of_an_item_are_no_accounts():
    counters = {"bank:platform/debits_posted": 5, "first_unbalanced": "pay_x#j", "account": "shard:001"}

    assert projection.trial_balance(counters) == {"bank:platform": Balance(debits_posted=5)}
