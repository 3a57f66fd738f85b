"""The `KEY_STORE` setting of an HSM: a PKCS#11 URI (RFC 7512). Four of its attributes are known, and all are needed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from functions.vault.errors import InvalidRequest

_FORM = "KEY_STORE must be pkcs11:token=…;object=…?module-path=…&pin-source=…"
_PATH_ATTRIBUTES = {"token", "object"}
_QUERY_ATTRIBUTES = {"module-path", "pin-source"}

_PERCENT_ENCODED = r"%[0-9A-Fa-f]{2}"
_PATH_VALUE = re.compile(rf"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|{_PERCENT_ENCODED})+")  # RFC 7512, 2.3: pk11-pchar
_QUERY_VALUE = re.compile(rf"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?|]|{_PERCENT_ENCODED})+")  # pk11-qchar


@dataclass(frozen=True)
class Pkcs11Uri:
    """Which key of which token, the library that reaches it, and where the PIN is (never the PIN itself)."""

    token: str
    object: str
    module_path: str
    pin_source: str


def parse(uri: str) -> Pkcs11Uri:
    """Raises InvalidRequest, naming the attribute that is missing, unknown, repeated or malformed, but no value."""
    scheme, _, rest = uri.partition(":")
    if scheme != "pkcs11":
        raise InvalidRequest(_FORM)
    path, _, query = rest.partition("?")
    found = dict(_attributes(path, ";", _PATH_ATTRIBUTES, _PATH_VALUE))
    found |= _attributes(query, "&", _QUERY_ATTRIBUTES, _QUERY_VALUE)
    if not found["module-path"].startswith("/"):
        raise InvalidRequest("KEY_STORE: module-path must be absolute")
    return Pkcs11Uri(found["token"], found["object"], found["module-path"], found["pin-source"])


def _attributes(text: str, separator: str, known: set[str], form: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    missing = set(known)
    for part in text.split(separator) if text else ():
        name, _, value = part.partition("=")
        if name not in known:
            raise InvalidRequest(f"KEY_STORE: unknown attribute {_shown(name)}; {_FORM}")
        if name not in missing:
            raise InvalidRequest(f"KEY_STORE: attribute {name} occurs twice")
        missing.remove(name)
        yield name, _decoded(name, value, form)
    if missing:
        raise InvalidRequest(f"KEY_STORE: attribute {', '.join(sorted(missing))} is missing; {_FORM}")


def _shown(name: str) -> str:
    """The name, if it can be one: what follows a stray separator may be part of a secret."""
    return name if re.fullmatch(r"[a-z][a-z-]{0,30}", name) else "(not a name)"


def _decoded(name: str, value: str, form: re.Pattern[str]) -> str:
    if form.fullmatch(value):
        try:
            return unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            pass
    raise InvalidRequest(f"KEY_STORE: the value of {name} is empty or not percent-encoded as RFC 7512 wants it")
