"""A ledger that lost journals in every region is put back from the archive, while the platform goes on."""

from tests.e2e.cloud import FIRST, SECOND, time, until

REGIONS = (FIRST, SECOND)


def test_lost_journals_are_named_restored_and_counted_as_before(cloud, cli):
    payments = [settled(cloud, amount) for amount in (4100, 4200)]
    for payment_id in payments:
        until(lambda payment_id=payment_id: proven(cli, payment_id), 180, f"a proof of {payment_id}")
    journals, balance = books(cloud, payments), cloud.merchant().balance().body["available"]

    lose(cloud, journals)
    found = cli("ledger", "verify", check=False)

    assert found.returncode == 1
    for payment_id, journal_id in journals[FIRST]:
        assert f"removed: {payment_id}#{journal_id}" in found.stdout

    restored = cli("ledger", "restore", *REGIONS, "--table", "ledger", "--region", FIRST)
    assert "restored: 4" in restored.stdout.splitlines()
    cli("ledger", "restore", *REGIONS, "--table", "ledger", "--region", SECOND)

    until(lambda: books(cloud, payments) == journals, 20, "the same journals in both regions")
    cli("ledger", "verify")
    for region in REGIONS:
        until(lambda region=region: rebuilt(cli, region), 120, f"balances of {region} that are the ledger's sums")
    assert cloud.merchant().balance().body["available"] == balance
    assert "restored: 0" in cli("ledger", "restore", *REGIONS, "--table", "ledger").stdout.splitlines()
    cloud.assert_books_balance()


def settled(cloud, amount):
    """A payment whose journals are in both regions."""
    merchant = cloud.merchant()
    payment_id = merchant.charge(amount=amount).body["id"]
    assert merchant.settled(payment_id)["status"] == "succeeded"
    cloud.journals_everywhere(payment_id, ["authorization", "capture"])
    return payment_id


def books(cloud, payments):
    """These payments' journals in each region, by their keys."""
    return {
        region: {
            (payment_id, journal["journal_id"]): journal
            for payment_id in payments
            for journal in cloud.journals(payment_id, region)
        }
        for region in REGIONS
    }


def proven(cli, payment_id):
    return cli("ledger", "prove", payment_id, check=False).returncode == 0


def lose(cloud, journals):
    for region in REGIONS:
        for payment_id, journal_id in journals[region]:
            key = {"payment_id": {"S": payment_id}, "journal_id": {"S": journal_id}}
            cloud.aws("dynamodb", region).delete_item(TableName="ledger", Key=key)
    payments = {payment_id for payment_id, _ in journals[FIRST]}
    until(lambda: books(cloud, payments) == {region: {} for region in REGIONS}, 20, "the journals to be gone")


def rebuilt(cli, region):
    """Whether the region's balances are right and stay so: the projector still counts what was restored."""
    cli("ledger", "rebuild", "--region", region, "--write", check=False)
    time.sleep(3)
    return cli("ledger", "rebuild", "--region", region, check=False).returncode == 0
