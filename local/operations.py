"""A client of the operators' API (docs/operators_api.md)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.ledger import Refused

_TIMEOUT = 30.0
_ROOT = "/operations/v1"
_PAGE = 100

Item = dict[str, Any]

LOCAL = Credentials("test", "test")
"""What requests to the local cloud are signed with: its gateway wants a signature, and takes any."""


class Operations:
    """One region's API. Requests are signed with `credentials`."""

    def __init__(self, base: str, region: str, credentials: Credentials = LOCAL):
        self._base, self._region, self._credentials = base.rstrip("/") + _ROOT, region, credentials
        self._http = httpx.Client(timeout=_TIMEOUT, trust_env=credentials is not LOCAL)

    def discrepancies(self, **filters: Any) -> Iterator[Item]:
        """What is open and fits, the oldest first, page by page. Raises `Refused`."""
        return self._pages("/discrepancies", filters)

    def reviews(self, **filters: Any) -> Iterator[Item]:
        """Charges in review that fit, the oldest first, page by page. Raises `Refused`."""
        return self._pages("/reviews", filters)

    def fraud(self, kind: str, **filters: Any) -> Iterator[Item]:
        """Entries of `lists`, or `rules`, or reports of `models`, of fraud scoring, page by page. Raises `Refused`."""
        return self._pages(f"/fraud/{kind}", filters)

    def fraud_one(self, path: str, scope: str) -> Item:
        """A list's entry (`lists/card/tok_…`) or a rule (`rules/…`) of a scope, with its trail. Raises `Refused`."""
        return self._send("GET", f"/fraud/{path}", {"scope": scope})

    def fraud_change(self, method: str, path: str, scope: str, body: Mapping[str, Any], key: str) -> Item:
        """`PUT` or `DELETE` an entry, `PUT` a rule; the same key again does nothing again. Raises `Refused`."""
        return self._send(method, f"/fraud/{path}", {"scope": scope}, body=body, key=key)

    def models(self, limit: int) -> Item:
        """Which models score charges, and the newest reports of training. Raises `Refused`."""
        return self._send("GET", "/fraud/models", {"limit": limit})

    def model(self, version: str) -> Item:
        """What is known of a model. Raises `Refused`."""
        return self._send("GET", f"/fraud/models/{version}")

    def switch_model(self, path: str, champion: str, reason: str, key: str) -> Item:
        """`<version>/promote`, or `rollback` to the one before, if `champion` scores charges; the same key again does
        nothing again. Raises `Refused`."""
        return self._send("POST", f"/fraud/models/{path}", body={"champion": champion, "reason": reason}, key=key)

    def move(self, region: str, action: str, reason: str, key: str) -> Item:
        """`fail` a region or `restore` it; the same key again does nothing again. Raises `Refused`."""
        return self._send("POST", f"/regions/{region}/{action}", body={"reason": reason}, key=key)

    def _pages(self, path: str, filters: Mapping[str, Any]) -> Iterator[Item]:
        asked = {name: value for name, value in filters.items() if value is not None}
        cursor: Item = {}
        while True:
            page = self._send("GET", path, {**asked, "limit": _PAGE, **cursor})
            yield from page["data"]
            if not page["has_more"]:
                return
            cursor = {"starting_after": page["next_cursor"]}

    def discrepancy(self, identifier: str) -> Item:
        """One, with its trail. Raises `Refused`."""
        return self._send("GET", f"/discrepancies/{identifier}")

    def command(self, identifier: str, name: str, body: Mapping[str, Any], key: str) -> Item:
        """`assign`, `comments` or `resolve` a discrepancy; the same key again does nothing again. Raises `Refused`."""
        return self._send("POST", f"/discrepancies/{identifier}/{name}", body=body, key=key)

    def review(self, payment_id: str) -> Item:
        """What fraud scoring found of a charge, and what was decided about it. Raises `Refused`."""
        return self._send("GET", f"/reviews/{payment_id}")

    def decide(self, payment_id: str, decision: str, reason: str, key: str) -> Item:
        """`approve` or `decline` a charge in review; the same key again does nothing again. Raises `Refused`."""
        return self._send("POST", f"/reviews/{payment_id}/{decision}", body={"reason": reason}, key=key)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Item:
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        content = None if body is None else json.dumps(body)
        url = str(httpx.URL(f"{self._base}{path}", params={name: str(value) for name, value in (query or {}).items()}))
        request = AWSRequest(method=method, url=url, data=content, headers=headers)
        SigV4Auth(self._credentials, "execute-api", self._region).add_auth(request)
        headers = dict(request.headers.items())
        answer = self._http.request(method, url, content=content, headers=headers)
        told: Item = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        if answer.is_success:
            return told
        error = told.get("error", {})
        raise Refused(f"{answer.status_code} {error.get('code', '')}: {error.get('message', answer.text[:200])}")
