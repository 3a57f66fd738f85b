"""The platform's real handlers on moto, with a bus, a card network and a stream that can lose, repeat and reorder."""

import json

from moto.backends import get_backend

from functions.ledger import app as ledger
from functions.network import app as network
from functions.network import card_network, vault
from functions.projector import app as projector
from functions.sweeper import app as sweeper
from payments import books, clients, events, identifiers, records, regions
from tests.functional.ledger.card_network import MemoryNetwork
from tests.functional.ledger.crashes import Crashes
from tests.functional.samples import CARD_FACTS, FRAUD, MERCHANT

URL = "http://card-network.test"
SHARD = identifiers.merchant_shard(MERCHANT)


class World:
    """Everything outside the functions. `messages` is the network worker's queue, `published` what merchants hear."""

    def __init__(self, monkeypatch):
        self.crashes = Crashes(monkeypatch)
        monkeypatch.setattr(events, "publish", self._publish)
        monkeypatch.setattr(vault, "detokenize", lambda *_: CARD_FACTS)
        monkeypatch.setattr(card_network, "_base", lambda: URL)
        monkeypatch.setattr(regions, "primary", lambda shard: regions.here() if shard == SHARD else "elsewhere")
        self.forget()

    def forget(self):
        """A new world, of empty tables."""
        transport = MemoryNetwork(self.crashes)
        self.network = transport.record
        card_network._session().mount(URL, transport)
        self.messages, self.published, self.stream, self.seen = [], [], [], set()
        self.projected, self.journals, self.payments = 0, {}, {}

    def _publish(self, detail_type, *found):
        with self.crashes.point():
            for event in found:
                (self.published if detail_type == events.PAYMENT_RESULT else self.messages).append(event)

    def post(self, charge):
        answer = ledger.handler({"operation": "post", "charge": charge, "fraud": FRAUD}, None)
        if "event" in answer:
            self._publish(events.CHARGE_AUTHORIZED, answer["event"])  # the saga's next step
        return answer

    def command(self, request):
        return ledger.command(request, None)

    def deliver(self, event):
        """Whether the worker is done with the message."""
        record = {"messageId": "m", "body": json.dumps({"detail-type": event["type"], "detail": event})}
        return not network.handler({"Records": [record]}, None)["batchItemFailures"]

    def sweep(self, context):
        return sweeper.handler({}, context)

    def look(self):
        """Payments by id, and journals by payment, as they are stored; what is new in the ledger goes to the stream."""
        for item in sorted(self.stored("ledger"), key=lambda item: int(item["sequence"]["N"])):
            key = item["payment_id"]["S"], item["journal_id"]["S"]
            if key not in self.seen:
                self.seen.add(key)
                self.journals.setdefault(key[0], []).append(item)
                number = str(100 + len(self.stream))
                self.stream.append({"eventName": "INSERT", "dynamodb": {"SequenceNumber": number, "NewImage": item}})
        self.payments = {
            item["payment_id"]["S"]: records.payment_of(records.plain(item))
            for item in self.stored("payments")
            if "#" not in item["payment_id"]["S"] and item["payment_id"]["S"].startswith("pay_")
        }

    @staticmethod
    def stored(table):
        """What is in a table of moto's, without a request: the tests look after every step."""
        (backend,) = (get_backend("dynamodb")["123456789012"][region] for region in ("us-east-1",))
        return [item.to_json()["Attributes"] for item in backend.tables[table].all_items()]

    def project(self, first, last, context):
        projector.handler({"Records": self.stream[first:last]}, context)

    def balances(self):
        """The projected counters that are not zero: (account or shard, currency, counter), summed over the periods."""
        found = {}
        for item in clients.client("dynamodb").scan(TableName="balances")["Items"]:
            if item["account"]["S"].startswith("batch#"):
                continue
            currency = item["period"]["S"].partition("#")[0]
            for name, value in item.items():
                if "N" in value and name != "expires_at":
                    key = item["account"]["S"], currency, name
                    found[key] = found.get(key, 0) + int(value["N"])
        return {key: amount for key, amount in found.items() if amount}

    @staticmethod
    def payment(payment_id):
        return books.find(payment_id, consistent=True)
