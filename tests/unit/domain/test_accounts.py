"""The chart of accounts: names, control accounts and owners."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import accounts

CHART = [
    (accounts.customer("mer_a", "cus_1"), "customer:mer_a:cus_1", "customers", "mer_a"),
    (accounts.customer("mer_a", None), "customer:mer_a:guest", "customers", "mer_a"),
    (accounts.customer("mer_a", "a:b"), "customer:mer_a:a:b", "customers", "mer_a"),
    (accounts.merchant("mer_a"), "merchant:mer_a", "merchants", "mer_a"),
    (accounts.disputes("mer_a"), "disputes:mer_a", "disputes", "mer_a"),
    (accounts.network("visa"), "network:visa", "network:visa", None),
    (accounts.FEES, "fees:platform", "fees:platform", None),
    (accounts.NETWORK_FEES, "fees:network", "fees:network", None),
    (accounts.BANK, "bank:platform", "bank:platform", None),
    (accounts.ADJUSTMENTS, "adjustments:platform", "adjustments:platform", None),
]


@pytest.mark.parametrize(("account", "name", "control", "owner"), CHART)
def test_every_account_has_its_control_account_and_its_owner(account, name, control, owner):
    assert (account, accounts.control(account), accounts.owner(account)) == (name, control, owner)


@given(st.text(min_size=1, max_size=20))
def test_no_name_of_a_customer_leads_to_another_merchant(customer):
    account = accounts.customer("mer_a", customer)

    assert (accounts.owner(account), accounts.control(account)) == ("mer_a", "customers")


def test_every_network_that_the_vault_names_has_a_clearing_account():
    from functions.vault.cards import BRANDS

    assert {brand.network for brand in BRANDS} <= set(accounts.NETWORKS)
    assert all(accounts.known(accounts.network(brand.network)) for brand in BRANDS)
    assert not accounts.known("network:elsewhere")
    assert not accounts.known("nothing")
