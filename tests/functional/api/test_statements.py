"""Balances and entries: what merchants see of the ledger, against plain sums over its journals."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.api import history, statements
from functions.ledger import app as ledger
from payments import accounts, clock, identifiers, records, transfers
from payments.fees import FeePlan
from payments.journal import Journal, Kind, Phase, Side, transfer
from payments.lifecycle import Failure
from payments.listings import Cursor
from payments.tables import JournalItem
from tests.functional.api.life import approved, command, decide, end_refund, project
from tests.functional.api.merchant import BODY, PAN, charge
from tests.functional.samples import MERCHANT

BALANCE, ENTRIES = "/api/v1/balance", "/api/v1/ledger/entries"
OTHER = "mer_" + "b" * 24
DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")
OWN = accounts.merchant(MERCHANT)
HELD = accounts.disputes(MERCHANT)


def amounts(body, name):
    return {total["currency"]: total["amount"] for total in body[name]}


def seen(call, at=None, **kwargs):
    project()
    status, body, _ = call("GET", BALANCE, query={"at": at} if at else None, **kwargs)
    assert status == 200, body
    return tuple(amounts(body, name).get("USD", 0) for name in ("available", "pending", "disputed"))


def dispute(payment_id, do="open_dispute", key="case-1", amount=None):
    asked = {"payment_id": payment_id, "merchant_id": MERCHANT, "key": f"{key}-{do}", "fingerprint": "f" * 64}
    answer = ledger.command({"command": do, "amount": amount, "final": False, "reason": "fraudulent", **asked}, None)
    assert answer["result"] == "done"


def book(kind, amount, reference="r-1", currency="USD"):
    asked = {"merchant_id": MERCHANT, "reference": reference, "amount": amount, "currency": currency, "reason": "x"}
    assert ledger.book({"kind": kind, **asked}, None)["result"] == "written"


def write(*journals, region="us-east-1"):
    with JournalItem.batch_write() as batch:
        for journal in journals:
            batch.save(JournalItem(**records.journal_record(journal, region)))
    return list(journals)


def test_the_balance_follows_a_payments_life(call):
    payment_id = approved(call)
    assert seen(call) == (0, 4200, 0)

    command(call, "capture", payment_id, {"amount": 3000}, key="1")
    assert seen(call) == (3000, 1200, 0)

    refund = command(call, "refund", payment_id, {"amount": 500}, key="2")[1]["id"]
    assert seen(call) == (2500, 1200, 0), "a pending refund cannot be paid out"

    end_refund(payment_id, refund)
    assert seen(call) == (2500, 1200, 0)

    command(call, "void", payment_id, key="3")
    assert seen(call) == (2500, 0, 0)

    dispute(payment_id)
    assert seen(call) == (0, 0, 2500)

    dispute(payment_id, "win_dispute")
    assert seen(call) == (2500, 0, 0)

    book("payout", 2000)
    assert seen(call) == (500, 0, 0)


def test_a_lost_dispute_is_gone_and_a_failed_refund_is_back(call):
    payment_id = approved(call, capture=True)
    refund = command(call, "refund", payment_id, {"amount": 200})[1]["id"]
    end_refund(payment_id, refund, Failure("refund_declined", "m"))
    dispute(payment_id, amount=4000)
    dispute(payment_id, "lose_dispute")

    assert seen(call) == (200, 0, 0)


def test_the_fee_is_taken_with_the_capture(call):
    made = charge(call, {**BODY, "amount": 10_000})[1]
    from dataclasses import replace

    from payments import books, lifecycle

    payment = replace(books.find(made["id"]), fees=FeePlan(290, 30))
    after, journal = lifecycle.decide(payment, lifecycle.Authorization(), clock.now())
    books.step(payment, after, journal)

    assert seen(call) == (10_000 - 290 - 30, 0, 0)


def test_a_balance_shows_every_currency_in_every_list(call):
    approved(call, "1", currency="JPY", amount=500)
    approved(call, "2", currency="KWD", amount=1500, capture=True)
    project()

    _, body, _ = call("GET", BALANCE)

    assert body["object"] == "balance"
    assert body["available"] == [{"currency": "JPY", "amount": 0}, {"currency": "KWD", "amount": 1500}]
    assert body["pending"] == [{"currency": "JPY", "amount": 500}, {"currency": "KWD", "amount": 0}]
    assert body["disputed"] == [{"currency": "JPY", "amount": 0}, {"currency": "KWD", "amount": 0}]
    assert abs(datetime.fromisoformat(body["at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_merchant_without_a_history_has_nothing(call):
    approved(call)

    assert seen(call, merchant=OTHER) == (0, 0, 0)
    assert call("GET", BALANCE, merchant=OTHER)[1]["available"] == []


def times(day):
    return [f"{day}T{rest}Z" for rest in ("00:00:00.000", "11:59:59.999", "12:00:00.000", "23:59:59.999")]


def past(count, seed=5):
    """Journals of three days, several in one millisecond, on two merchants' accounts."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        merchant = chance.choice([MERCHANT, MERCHANT, OTHER])
        amount, currency = chance.randint(1, 500), chance.choice(["USD", "JPY"])
        owed, held = accounts.merchant(merchant), accounts.disputes(merchant)
        customer = accounts.customer(merchant, chance.choice(["cus_1", "cus:2", None]))
        entries = chance.choice(
            [
                transfer(customer, owed, amount, currency, Phase.PENDING),
                transfer(customer, owed, amount, currency, Phase.POST_PENDING)
                + transfer(accounts.network("visa"), customer, amount, currency),
                transfer(owed, held, amount, currency, Phase.PENDING),
                transfer(held, accounts.network("visa"), amount, currency),
                transfer(owed, accounts.FEES, amount, currency),
            ]
        )
        payment_id = identifiers.payment_id(merchant, f"past-{number // 3}")
        at = chance.choice([time for day in DAYS for time in times(day)])
        made.append(Journal(payment_id, f"cap_{number}", Kind.CAPTURE, at, entries, number))
    return made


@pytest.fixture
def written(tables):
    found = write(*past(40))
    project()
    return found


def summed(journals, account, at=None):
    """Counters by currency and name, added up one by one."""
    found = {}
    for journal in journals:
        for entry in journal.entries:
            if entry.account == account and (at is None or journal.created_at <= at):
                counter = found.setdefault(entry.currency, Counter())
                side = "debits" if entry.side is Side.DEBIT else "credits"
                pending, posted = {
                    Phase.PENDING: (1, 0),
                    Phase.POST_PENDING: (-1, 1),
                    Phase.VOID_PENDING: (-1, 0),
                    Phase.POSTED: (0, 1),
                }[entry.phase]
                counter[f"{side}_pending"] += pending * entry.amount
                counter[f"{side}_posted"] += posted * entry.amount
    return found


def nonzero(sums):
    return {(currency, name): amount for currency, found in sums.items() for name, amount in found.items() if amount}


def counters(balances):
    names = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
    return nonzero({currency: {name: getattr(found, name) for name in names} for currency, found in balances.items()})


INSTANTS = sorted(
    {*(time for day in DAYS for time in times(day)), "2026-11-19T00:00:00.000Z", "2026-11-23T00:00:00.000Z"}
)


@pytest.mark.parametrize("at", INSTANTS)
def test_the_balance_at_an_instant_is_the_sum_up_to_and_including_it(written, at):
    standing = statements.at(MERCHANT, at)

    assert counters(standing.owed) == nonzero(summed(written, OWN, at))
    assert counters(standing.held) == nonzero(summed(written, HELD, at))


def test_the_present_balance_is_the_sum_of_everything(written):
    standing = statements.current(MERCHANT)

    assert counters(standing.owed) == nonzero(summed(written, OWN))
    assert counters(standing.held) == nonzero(summed(written, HELD))


def test_a_day_of_more_journals_than_are_read_at_once_is_summed_to_its_end(written, monkeypatch):
    monkeypatch.setattr(statements, "_JOURNALS_AT_ONCE", 3)
    at = times(DAYS[1])[-1]

    assert counters(statements.at(MERCHANT, at).owed) == nonzero(summed(written, OWN, at))


@pytest.mark.parametrize(
    ("asked", "same_as"),
    [
        ("2026-11-21T12:00:00Z", "2026-11-21T12:00:00.000Z"),
        ("2026-11-21T13:00:00+01:00", "2026-11-21T12:00:00.000Z"),
        ("2026-11-22T00:59:59.999+01:00", "2026-11-21T23:59:59.999Z"),
        ("2026-11-21T11:59:59.9999Z", "2026-11-21T11:59:59.999Z"),
        ("2026-11-21T11:59:59.998Z", "2026-11-21T00:00:00.000Z"),
    ],
)
def test_an_instant_may_be_written_in_any_time_zone(call, written, asked, same_as):
    status, body, _ = call("GET", BALANCE, query={"at": asked})

    owed = statements.at(MERCHANT, same_as).owed
    assert status == 200
    assert amounts(body, "available") == {currency: owed[currency].available for currency in owed}


def test_the_balance_of_the_future_is_not_known(call):
    soon = clock.timestamp(datetime.now(UTC) + timedelta(minutes=5))

    status, body, _ = call("GET", BALANCE, query={"at": soon})

    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "at_in_future", "at")


@pytest.mark.parametrize(
    "query",
    [{"at": "now"}, {"at": "2026-11-21"}, {"at": ""}, {"at": "1"}, {"at": "0001-01-01T00:00:00+20:00"}, {"x": "1"}],
)
def test_a_malformed_instant_is_refused(call, query):
    assert call("GET", BALANCE, query=query)[1]["error"]["code"] == "invalid_field"


def shown(journals, merchant=MERCHANT):
    """The merchant's entries as anybody would list them: id aside."""
    names = {accounts.merchant(merchant): "merchant", accounts.disputes(merchant): "disputes", accounts.FEES: "fees"}
    own = [one for one in journals if any(accounts.owner(entry.account) == merchant for entry in one.entries)]
    order = sorted(own, key=lambda one: (one.created_at, one.payment_id, one.journal_id), reverse=True)
    return [
        {
            "payment_id": one.payment_id,
            "journal_id": one.journal_id,
            "kind": str(one.kind),
            "account": names.get(entry.account, entry.account.replace(f"customer:{merchant}:", "customer:")),
            "side": str(entry.side),
            "phase": str(entry.phase),
            "amount": entry.amount,
            "currency": entry.currency,
            "created_at": one.created_at,
        }
        for one in order
        for entry in one.entries
    ]


def bare(entries):
    return [{name: value for name, value in entry.items() if name != "id"} for entry in entries]


def walk(call, **query):
    found, pages, cursor = [], 0, None
    while True:
        status, page, _ = call(
            "GET", ENTRIES, query={**query, **({"starting_after": cursor} if cursor else {})} or None
        )
        assert status == 200, page
        found, pages, cursor = found + page["data"], pages + 1, page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            return found, pages


@pytest.mark.parametrize("limit", [3, 7, 100])
def test_all_entries_are_shown_once_in_order(call, written, limit):
    found, _ = walk(call, limit=str(limit))

    assert bare(found) == shown(written)
    assert len({entry["id"] for entry in found}) == len(found)


@pytest.mark.parametrize(
    "account", ["merchant", "disputes", "customer:cus_1", "customer:cus:2", "customer:guest", "fees", "network:visa"]
)
def test_entries_of_an_account(call, written, account):
    found, _ = walk(call, account=account, limit="5")

    assert bare(found) == [entry for entry in shown(written) if entry["account"] == account]
    assert found


@pytest.mark.parametrize(
    "account", [OWN, "merchant:", f"merchant:{OTHER}", f"customer:{OTHER}:cus_1", OTHER, "bank", "x"]
)
def test_there_are_no_entries_of_accounts_that_are_not_the_merchants(call, written, account):
    assert walk(call, account=account)[0] == []


def test_entries_of_a_payment_come_straight_from_the_ledger(call):
    payment_id = approved(call)
    command(call, "capture", payment_id, {"amount": 1000})

    found, _ = walk(call, payment=payment_id, limit="2")

    assert [
        (entry["journal_id"][:4], entry["account"], entry["side"], entry["phase"], entry["amount"]) for entry in found
    ] == [
        ("cap_", "customer:guest", "debit", "post_pending", 1000),
        ("cap_", "merchant", "credit", "post_pending", 1000),
        ("cap_", "network:visa", "debit", "posted", 1000),
        ("cap_", "customer:guest", "credit", "posted", 1000),
        ("auth", "customer:guest", "debit", "pending", 4200),
        ("auth", "merchant", "credit", "pending", 4200),
    ]
    assert walk(call, payment=payment_id, account="merchant")[0] == [found[1], found[5]]
    project()
    assert walk(call)[0] == found, "the same entries by account, under the same ids"


def test_another_merchants_payment_has_no_entries(call):
    payment_id = approved(call)
    project()

    for payment in (payment_id, identifiers.payment_id(OTHER, "never"), "x", "ref_00" + "a" * 24, "pay_ff" + "a" * 24):
        status, page, _ = call("GET", ENTRIES, query={"payment": payment}, merchant=OTHER)
        assert (status, page["data"], page["has_more"]) == (200, [], False)


def test_entries_of_a_payout_and_of_other_bookings_are_the_merchants(call):
    approved(call, capture=True)
    book("payout", 1000)
    book("adjustment", -50, "r-2")
    project()

    found, _ = walk(call)

    booked = {(entry["kind"], entry["account"], entry["side"], entry["amount"]) for entry in found}
    assert {("payout", "merchant", "debit", 1000), ("payout", "bank", "credit", 1000)} <= booked
    assert {("adjustment", "merchant", "debit", 50), ("adjustment", "adjustments", "credit", 50)} <= booked
    payout = identifiers.transfer_id("out", MERCHANT, "r-1")
    assert len(walk(call, payment=payout)[0]) == 2
    assert call("GET", ENTRIES, query={"payment": payout}, merchant=OTHER)[1]["data"] == []


def test_what_the_platform_settles_with_the_network_is_not_the_merchants_to_see(call):
    payment_id = approved(call, capture=True)
    shard, settled = identifiers.shard_of(payment_id), transfers.Settled(captured=4200, fees=70)
    write(transfers.settlement(shard, "line-1", "visa", "USD", settled, clock.now()))
    project()

    by_payment, everything = walk(call, payment=payment_id)[0], walk(call)[0]

    assert by_payment == everything
    assert not {"bank", "fees:network"} & {entry["account"] for entry in everything}


def test_a_journal_of_two_merchants_shows_each_its_own_side(call):
    entries = transfer(OWN, accounts.merchant(OTHER), 5, "USD")
    payment_id = identifiers.transfer_id("adj", MERCHANT, "odd")
    write(Journal(payment_id, "adjustment", Kind.ADJUSTMENT, clock.now(), entries))
    project()

    for merchant, side in ((MERCHANT, "debit"), (OTHER, "credit")):
        for query in (None, {"payment": payment_id}):
            data = call("GET", ENTRIES, query=query, merchant=merchant)[1]["data"]
            assert [(entry["account"], entry["side"]) for entry in data] == [("merchant", side)]


ACCOUNTS = st.sampled_from([None, "merchant", "fees", "customer:cus_1", "nobody"])


@given(
    account=ACCOUNTS,
    span=st.tuples(st.sampled_from([None, *INSTANTS]), st.sampled_from([None, *INSTANTS])),
    limit=st.integers(1, 40),
    place=st.none() | st.integers(0, 200),
    back=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_page_of_entries_is_what_a_plain_list_says(written, account, span, limit, place, back):
    everything = history.entries(MERCHANT, history.Wanted(), 10_000, None).data
    place = None if place is None else place % len(everything)
    low, high = span
    cursor = Cursor(everything[place].entry_id, back) if place is not None else None

    page = history.entries(MERCHANT, history.Wanted(account, low, high), limit, cursor)

    wanted = [
        (number, line)
        for number, line in enumerate(everything)
        if account in (None, history.shown(line.entry.account, MERCHANT))
        and (low is None or line.journal.created_at >= low)
        and (high is None or line.journal.created_at < high)
    ]
    if cursor and back:
        rest = [line for number, line in wanted if number < place]
        expected, following = rest[-limit:], len(rest) > limit and rest[-limit]
    else:
        rest = [line for number, line in wanted if place is None or number > place]
        expected, following = rest[:limit], len(rest) > limit and rest[limit - 1]
    assert list(page.data) == expected
    assert page.next_cursor == (following.entry_id if following else None)


def test_an_account_with_few_entries_ends_a_page_early_and_says_where_to_go_on(call, written, monkeypatch):
    monkeypatch.setattr(history, "MAXIMUM_JOURNALS", 6)
    monkeypatch.setattr(history, "_AT_ONCE", 3)

    found, pages = walk(call, account="disputes")

    assert bare(found) == [entry for entry in shown(written) if entry["account"] == "disputes"]
    assert pages > 2
    assert walk(call, account="nobody")[0] == []


def test_what_is_booked_during_a_walk_neither_hides_nor_repeats_an_entry(call, written):
    before, cursor, seen_ids, number = walk(call, limit="100")[0], None, [], 0
    while True:
        page = call("GET", ENTRIES, query={"limit": "9", **({"starting_after": cursor} if cursor else {})})[1]
        seen_ids += [entry["id"] for entry in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        number += 1
        entries = transfer(OWN, accounts.FEES, 1, "USD")
        at = times(DAYS[number % 3])[number % 4]
        write(Journal(identifiers.payment_id(MERCHANT, f"new-{number}"), "cap_x", Kind.CAPTURE, at, entries))
        history_only(at, number)

    assert len(seen_ids) == len(set(seen_ids))
    old = [entry["id"] for entry in before]
    assert [entry_id for entry_id in seen_ids if entry_id in old] == old


def history_only(at, number):
    """The projector's handler for one new journal."""
    from functions.projector import app as projector
    from payments import clients

    payment_id = identifiers.payment_id(MERCHANT, f"new-{number}")
    found = clients.client("dynamodb").get_item(
        TableName="ledger", Key={"payment_id": {"S": payment_id}, "journal_id": {"S": "cap_x"}}
    )["Item"]
    record = {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(9000 + number), "NewImage": found}}
    projector.handler({"Records": [record]}, None)


def forge(place):
    from base64 import urlsafe_b64encode

    return "ent_" + urlsafe_b64encode(place.encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", ["starting_after", "ending_before"])
def test_a_forged_cursor_is_refused_whatever_it_says(call, written, name):
    mine = next(one for one in written if accounts.owner(one.entries[0].account) == MERCHANT)
    other = next(one for one in written if OWN not in {e.account for e in one.entries} and OTHER in str(one.entries))
    place, others = (f"{one.created_at}#{one.payment_id}#{one.journal_id}" for one in (mine, other))
    forged = [
        forge(f"{others}#0"),
        forge(f"{place}#9"),
        forge(f"{place}#-1"),
        forge(f"{place}#٠"),
        forge(f"{place}#00"),
        forge(f"{place}#"),
        forge(place),
        forge("#"),
        forge("##"),
        forge("a#b#c#0"),
        forge(f"{place}#0") + "A",
        forge(f"{place}#0")[4:],
        "ent_",
        "ent_é",
        "ent_!!!!",
        "ent_" + "A" * 490,
        mine.payment_id,
        "x",
    ]

    answers = [call("GET", ENTRIES, query={name: cursor})[1] for cursor in forged]

    assert [answer["error"]["code"] for answer in answers] == ["invalid_cursor"] * len(forged)
    assert call("GET", ENTRIES, query={name: forge(f"{place}#0")})[0] == 200
    by_payment = [call("GET", ENTRIES, query={name: cursor, "payment": mine.payment_id})[0] for cursor in forged]
    assert set(by_payment) == {400}


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"account": ""}, {"payment": "x" * 501}, {"created_gte": "x"}, {"customer": "cus_1"}]
)
def test_a_malformed_parameter_is_refused(call, query):
    assert call("GET", ENTRIES, query=query)[1]["error"]["code"] == "invalid_field"


@pytest.mark.parametrize("path", [ENTRIES, BALANCE])
def test_a_card_number_in_the_query_is_refused(call, path):
    assert call("GET", path, query={"account": PAN})[1]["error"]["code"] == "card_data_in_field"


def test_a_customers_entries_are_those_of_that_customer(call):
    status, made, _ = charge(call, {**BODY, "customer": {"id": "cus_7"}})
    decide(made["id"])
    project()

    found, _ = walk(call, account="customer:cus_7")

    assert status == 201
    assert {entry["payment_id"] for entry in found} == {made["id"]}
    assert walk(call, account="customer:cus_8")[0] == []
