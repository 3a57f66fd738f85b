"""What journals add to balances, against sums made entry by entry."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from payments import accounts, identifiers, projection
from payments.journal import Balance, Journal, Kind, Phase, transfer

MERCHANTS = ("mer_a", "mer_b", "mer_c")
ACCOUNTS = (
    *(accounts.merchant(merchant) for merchant in MERCHANTS),
    *(accounts.disputes(merchant) for merchant in MERCHANTS),
    accounts.customer("mer_a", "x:y"),
    accounts.customer("mer_b", None),
    accounts.network("visa"),
    accounts.FEES,
    accounts.BANK,
)


@st.composite
def journals(draw):
    merchant = draw(st.sampled_from(MERCHANTS))
    lines = draw(
        st.lists(
            st.tuples(
                st.sampled_from(ACCOUNTS),
                st.sampled_from(ACCOUNTS),
                st.integers(1, 10**12),
                st.sampled_from(["USD", "JPY"]),
                st.sampled_from(list(Phase)),
            ),
            min_size=1,
            max_size=4,
        )
    )
    entries = sum((transfer(*line) for line in lines), ())
    day = draw(st.integers(20, 23))
    at = f"2026-11-{day}T23:59:59.999Z"
    return Journal(identifiers.payment_id(merchant, draw(st.text(max_size=3))), "j", Kind.CHARGE, at, entries)


def naive(found):
    """Counter by account, currency and day; and the same by shard and control account."""
    counters = defaultdict(Counter)
    for journal in found:
        shard = f"shard:{identifiers.shard_of(journal.payment_id):03d}"
        for entry in journal.entries:
            period = f"{entry.currency}#{journal.created_at[:10]}"
            side = f"{entry.side}s"
            pending = {"pending": entry.amount, "posted": 0}.get(entry.phase, -entry.amount)
            posted = entry.amount if entry.phase in ("posted", "post_pending") else 0
            general = counters[shard, period]
            general[f"{accounts.control(entry.account)}/{side}_pending"] += pending
            general[f"{accounts.control(entry.account)}/{side}_posted"] += posted
            if entry.account.split(":")[0] in ("merchant", "disputes"):
                counters[entry.account, period][f"{side}_pending"] += pending
                counters[entry.account, period][f"{side}_posted"] += posted
    return without_zeros(counters)


def without_zeros(sums):
    counters = {key: {name: amount for name, amount in counter.items() if amount} for key, counter in sums.items()}
    return {key: counter for key, counter in counters.items() if counter}


@given(st.lists(journals(), max_size=8))
def test_sums_are_those_made_entry_by_entry(found):
    assert without_zeros(projection.sums(found)) == naive(found)


@given(st.lists(journals(), max_size=6), st.integers(0, 6), st.randoms())
def test_sums_do_not_depend_on_order_or_batches(found, cut, random):
    apart = Counter()
    shuffled = found.copy()
    random.shuffle(shuffled)
    for part in (shuffled[:cut], shuffled[cut:]):
        for key, counter in projection.sums(part).items():
            for name, amount in counter.items():
                apart[*key, name] += amount
    whole = {(*key, name): n for key, counter in projection.sums(found).items() for name, n in counter.items() if n}
    assert {name: amount for name, amount in apart.items() if amount} == whole


@given(st.lists(journals(), min_size=1, max_size=8))
def test_every_shard_balances_in_itself_every_day_and_currency(found):
    for (account, _), counter in projection.sums(found).items():
        if account.startswith("shard:"):
            total = Balance()
            for balance in projection.trial_balance(counter).values():
                total += balance
            assert total.balanced


@given(st.lists(journals(), min_size=1, max_size=8))
def test_the_general_ledger_is_the_sum_of_the_subsidiary_one(found):
    general, subsidiary = Balance(), Balance()
    for (account, _), counter in projection.sums(found).items():
        if account.startswith("shard:"):
            general += projection.balance(counter, "merchants")
        elif account.startswith("merchant:"):
            subsidiary += projection.balance(counter)
    assert general == subsidiary


@given(journals())
def test_a_balance_is_what_the_entries_of_the_account_make_it(journal):
    for (account, period), counter in projection.sums([journal]).items():
        balance = Balance()
        for entry in journal.entries:
            if entry.account == account and period.startswith(entry.currency):
                balance = balance.after(entry)
        if not account.startswith("shard:"):
            assert projection.balance(counter) == balance


def test_an_account_of_the_general_ledger_may_have_a_slash_in_its_name():
    entries = transfer("network:a/b", accounts.BANK, 5, "USD")
    journal = Journal(identifiers.payment_id("mer_a", "1"), "j", Kind.CHARGE, "2026-11-23T00:00:00.000Z", entries)
    (counter,) = projection.sums([journal]).values()
    assert set(projection.trial_balance(counter)) == {"network:a/b", "bank:platform"}


def test_missing_counters_are_zero():
    assert projection.balance({}) == Balance() == projection.balance({"merchants/debits_posted": 1}, "customers")
    assert projection.trial_balance({"account": "x"}) == {}
