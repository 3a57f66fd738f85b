"""The PKCS#11 URI in `KEY_STORE`: exactly four attributes, percent-encoded as RFC 7512 wants them."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.vault.errors import InvalidRequest, KeyStoreForbidden
from functions.vault.keys import open_key_store
from functions.vault.pkcs11_uri import Pkcs11Uri, parse

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:vault/pin-AbCdEf"
URI = f"pkcs11:token=hsm1;object=payments-vault?module-path=/opt/cloudhsm/lib/libcloudhsm_pkcs11.so&pin-source={ARN}"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_a_uri_is_read():
    assert parse(URI) == Pkcs11Uri("hsm1", "payments-vault", "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so", ARN)


@given(token=TEXT, name=TEXT, path=TEXT, source=TEXT)
def test_any_text_can_be_percent_encoded(token, name, path, source):
    values = (quote(text, safe="") for text in (token, name, "/" + path, source))
    uri = "pkcs11:token={};object={}?module-path={}&pin-source={}".format(*values)

    assert parse(uri) == Pkcs11Uri(token, name, "/" + path, source)


def test_order_does_not_matter():
    assert parse(f"pkcs11:object=o;token=t?pin-source={ARN}&module-path=/lib.so") == Pkcs11Uri("t", "o", "/lib.so", ARN)


@pytest.mark.parametrize("name", ["token", "object", "module-path", "pin-source"])
def test_a_missing_attribute_is_named(name):
    parts = {"token": "t", "object": "o", "module-path": "/lib.so", "pin-source": ARN}
    pairs = {key: f"{key}={value}" for key, value in parts.items() if key != name}
    path = ";".join(pairs[key] for key in ("token", "object") if key in pairs)
    query = "&".join(pairs[key] for key in ("module-path", "pin-source") if key in pairs)

    with pytest.raises(InvalidRequest, match=f"attribute {name} is missing"):
        parse(f"pkcs11:{path}?{query}")


@pytest.mark.parametrize("name", ["serial", "manufacturer", "module-path"])
def test_an_unknown_attribute_of_the_path_is_named(name):
    with pytest.raises(InvalidRequest, match=f"unknown attribute {name};"):
        parse(URI.replace("?", f";{name}=1?"))


def test_a_pin_in_the_uri_is_refused_and_not_repeated():
    with pytest.raises(InvalidRequest, match="unknown attribute pin-value") as raised:
        parse(f"{URI}&pin-value=user:secret")
    assert "secret&" not in str(raised.value)
    assert "user:" not in str(raised.value)

    with pytest.raises(InvalidRequest) as raised:
        parse(f"{URI}&user:Geheim1")
    assert "Geheim1" not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        (URI.replace("token=hsm1", "token=hsm1;token=hsm2"), "token occurs twice"),
        (URI.replace("token=hsm1", "token="), "value of token"),
        (URI.replace("token=hsm1", "token"), "value of token"),
        (URI.replace("token=hsm1", "token=a b"), "value of token"),
        (URI.replace("token=hsm1", "token=a/b"), "value of token"),
        (URI.replace("token=hsm1", "token=%zz"), "value of token"),
        (URI.replace("token=hsm1", "token=100%"), "value of token"),
        (URI.replace("token=hsm1", "token=%ff"), "value of token"),
        (URI.replace("module-path=/opt", "module-path=opt"), "module-path must be absolute"),
        (URI.replace("?", "?;"), "unknown attribute"),
        (URI + "&", "unknown attribute"),
        ("pkcs11:", "missing"),
        ("PKCS11:token=t", "pkcs11:"),
    ],
)
def test_a_malformed_uri_is_refused(uri, complaint):
    with pytest.raises(InvalidRequest, match=complaint):
        parse(uri)


@pytest.mark.parametrize(
    "source", ["file:pin", "file:", "/tmp/pin", "env:PIN", "arn:aws:s3:::bucket", ARN + " x", "x" + ARN]
)
def test_another_source_of_the_pin_is_refused(source):
    with pytest.raises(InvalidRequest):
        open_key_store(URI.replace(ARN, quote(source, safe="")), "local")


@pytest.mark.parametrize("environment", ["production", "", "LOCAL"])
def test_a_pin_in_a_file_is_forbidden_outside_local(environment):
    with pytest.raises(KeyStoreForbidden):
        open_key_store(URI.replace(ARN, "file:/tmp/pin"), environment)
