"""A card network in memory, behind the worker's own HTTP session. It keeps its own record, and its own limits."""

import json
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter

DECLINED = {5: "card_declined", 51: "insufficient_funds", 91: "issuer_unavailable"}
REFUND_DECLINED = 7


class Record:
    """What the network knows. `refusals` is what it could not even decline: a platform that keeps its promises
    causes none."""

    def __init__(self):
        self.authorizations, self.operations, self.refusals = {}, {}, []

    def answer(self, method, path, order):
        """The status and the content of the answer to a request."""
        kind, _, reference = path.strip("/").partition("/")
        if method == "GET":
            known = getattr(self, kind).get(unquote(reference))
            return (200, known) if known else (404, {})
        return self._authorize(order) if kind == "authorizations" else self._operate(order)

    @property
    def exceeded(self):
        """The operations that asked for more than there was: two of them contradicted each other."""
        return [made for made in self.operations.values() if made["code"] == "amount_exceeded"]

    def captured(self, network_ref):
        held = self.authorizations[network_ref]
        if held["status"] == "declined":
            return 0
        return held["amount"] if held["capture"] else self._sum(network_ref, "capture")

    def refunded(self, network_ref):
        return self._sum(network_ref, "refund")

    def released(self, network_ref):
        return self._sum(network_ref, "void")

    def _authorize(self, order):
        code = DECLINED.get(order["amount"] % 100)
        made = {**order, "status": "declined" if code else "approved", "code": code}
        held = self.authorizations.setdefault(order["network_ref"], made)
        if any(held[name] != order[name] for name in ("amount", "currency", "request")):
            return self._refuse(409, order)
        return 200, held

    def _operate(self, order):
        held = self.operations.get(order["operation_ref"])
        if held:
            same = all(held[name] == value for name, value in order.items())
            return (200, held) if same else self._refuse(409, order)
        authorization = self.authorizations.get(order["network_ref"])
        if authorization is None or authorization["status"] == "declined":
            return self._refuse(422, order)
        declined = order["kind"] == "refund" and order["amount"] % 100 == REFUND_DECLINED
        code = "amount_exceeded" if order["amount"] > self._left(order) else "refund_declined" if declined else None
        made = {**order, "status": "declined" if code else "accepted", "code": code}
        self.operations[order["operation_ref"]] = made
        return 200, made

    def _left(self, order):
        """What the authorization has left for an operation of this kind."""
        reference = order["network_ref"]
        captured = self.captured(reference)
        if order["kind"] == "refund":
            return captured - self.refunded(reference)
        return self.authorizations[reference]["amount"] - captured - self._sum(reference, "void")

    def _sum(self, reference, kind):
        return sum(
            made["amount"]
            for made in self.operations.values()
            if (made["network_ref"], made["kind"], made["status"]) == (reference, kind, "accepted")
        )

    def _refuse(self, status, order):
        self.refusals.append(order)
        return status, {"error": {"code": "refused"}}


class MemoryNetwork(BaseAdapter):
    """Serves a record to the worker's own HTTP session, and crashes when it is told to."""

    def __init__(self, crashes):
        super().__init__()
        self._crashes, self.record = crashes, Record()

    def send(self, request, **_):
        with self._crashes.point():
            order = json.loads(request.body) if request.body else None
            return self._response(*self.record.answer(request.method, urlsplit(request.url).path, order))

    def close(self):
        pass

    @staticmethod
    def _response(status, content):
        response = requests.Response()
        response.status_code = status
        response._content = json.dumps(content).encode()
        return response
