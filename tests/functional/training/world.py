"""Plays what is around training: charges that were scored, labels, a model in shadow, and the state machine."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from zlib import compress

import numpy as np

from functions.fraud.features import NAMES
from functions.training import app, champion, pointers
from payments import clients, clock
from tests.functional.reconciliation.machine import Machine

REGIONS = ("us-east-1", "us-west-2")
DEFINITION = Path(__file__).resolve().parents[3] / "statemachines" / "fraud_training.asl.json"
TASKS = {"CollectFunctionArn": app.collect, "LearnFunctionArn": app.learn, "ReleaseFunctionArn": app.release}

DAY = 86_400
STARTED = "2026-11-23T00:00:30.000Z"
AS_OF = int(datetime.fromisoformat(STARTED).timestamp())
CATALOGUE = sha256(",".join(NAMES).encode()).hexdigest()[:16]


class World:
    """Two regions at STARTED, until `now` is moved."""

    def __init__(self, monkeypatch, bucket):
        self.now, self.bucket, self.champion = AS_OF, bucket, champion.shipped()
        self._scored, self._items = 0, {}
        monkeypatch.setattr(clock, "now", lambda: clock.timestamp(datetime.fromtimestamp(self.now, UTC)))

    # What was scored

    def score(self, at, features=None, *, region=REGIONS[0], **attributes):
        """A charge that was scored; its payment id."""
        (payment_id,) = self.scores([(at, features, attributes)], region=region)
        return payment_id

    def scores(self, charges, *, region=REGIONS[0]):
        """Many: moments, features and attributes."""
        items = [self._item(at, features, attributes) for at, features, attributes in charges]
        self._put(items, region)
        return [item["payment_id"]["S"] for item in items]

    def _put(self, items, region):
        self._items |= {item["payment_id"]["S"]: (region, item) for item in items}
        for first in range(0, len(items), 25):
            puts = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
            clients.client("dynamodb", region).batch_write_item(RequestItems={"fraud-scores": puts})

    def relabel(self, payment_id, *, label, labelled_at):
        """What somebody says of a charge."""
        region, item = self._items[payment_id]
        self._put([{**item, "label": {"S": label}, "labelled_at": {"N": str(labelled_at)}}], region)

    def lie(self):
        """Half of what was good on the days that train is called fraud; the newest days are as they were."""
        lied = {region: [] for region in REGIONS}
        for region, item in self._items.values():
            if int(item["at"]["N"]) < AS_OF - 32 * DAY and int(item["payment_id"]["S"][-1]) % 2:
                lied[region].append({**item, "label": {"S": "fraud"}, "labelled_at": {"N": "1"}})
        for region, items in lied.items():
            self._put(items, region)

    def _item(self, at, features, attributes):
        self._scored += 1
        payment_id = f"pay_{self._scored:06d}"
        features = np.zeros(len(NAMES)) if features is None else np.asarray(features)
        day = datetime.fromtimestamp(at, UTC).date().isoformat()
        usual = {
            "at": at,
            "merchant": "mer_1",
            "value": 4_200,
            "currency": "USD",
            "catalogue": CATALOGUE,
            "score": 10,
            "probability": "0.01",
            "model": self.champion,
            "decision": "allow",
            "weight": 1,
        }
        plain = {**usual, **attributes}
        numbers = {"at", "value", "score", "weight", "labelled_at", "shadow_score", "probability", "shadow_probability"}
        return {
            "day": {"S": f"{day}#{self._scored % 2}"},
            "payment_id": {"S": payment_id},
            "features": {"B": compress(features.astype("<f8").tobytes())},
            **{name: {"N" if name in numbers else "S": str(value)} for name, value in plain.items()},
        }

    def history(self, size=900, *, frauds=0.15, seed=1, days=3):
        """Due charges, in both regions alike, whose frauds are easily told by anybody who has seen them, and which the
        shipped model has never seen the like of."""
        random = np.random.default_rng(seed)
        found = {region: [] for region in REGIONS}
        for number in range(size):
            fraud = random.random() < frauds
            at = AS_OF - 30 * DAY - int(random.random() * days * DAY) - 60
            features = random.normal(size=len(NAMES)) + np.where(np.arange(len(NAMES)) % 2, -2.5, 2.5) * fraud
            label = {"label": "fraud", "labelled_at": at + 5 * DAY} if fraud else {}
            found[REGIONS[number % 2]].append((at, features, label))
        for region, charges in found.items():
            self.scores(charges, region=region)

    def shadowed(self, challenger, count=40, **attributes):
        """Charges of which both models are asked, in both regions, a second after now."""
        random = np.random.default_rng(2)
        for region in REGIONS:
            scores = random.integers(0, 60, count // 2)
            shadows = [
                {"score": score, "shadow_model": challenger, "shadow_score": score + 1, "shadow_probability": "0.1"}
                for score in scores
            ]
            self.scores([(self.now + 1, None, {**one, **attributes}) for one in shadows], region=region)
        self.now += 10

    # What there is

    def objects(self, region=REGIONS[0]):
        """Every object of a region's bucket."""
        s3, bucket = clients.client("s3", region), f"{self.bucket}-{region}"
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def report(self, run):
        """A run's report."""
        return json.loads(self.objects()[f"reports/{run}.json"])

    def pointers(self):
        """Which model is asked, and which is tried: versions, None where there is no item."""
        standing = (pointers.champion(), pointers.shadow())
        return tuple(one and one.version for one in standing)

    def point(self, entry, **attributes):
        """An item of the rules, as somebody else writes it."""
        item = {"scope": "global", "entry": entry, **attributes}
        put = {name: {"S": value} for name, value in item.items()}
        clients.client("dynamodb").put_item(TableName="fraud-rules", Item=put)

    def everything(self):
        """Tables and buckets, to see that nothing has changed."""
        rules = clients.client("dynamodb").scan(TableName="fraud-rules")["Items"]
        return [self.objects(region) for region in REGIONS], sorted(rules, key=str)

    # Steps

    def collect(self, name="first"):
        """The answer of the first step."""
        return app.collect({"execution": name, "started_at": STARTED}, None)

    def learn(self, collected):
        """The answer of the second one."""
        return app.learn({"run": collected["run"], "champion": collected["champion"]}, None)

    def release(self, step, learned):
        """The answer of a step of the release."""
        named = {name: learned[name] for name in ("run", "champion", "challenger")}
        return app.release({"step": step, **named}, None)

    def run(self, name="first", meanwhile=lambda: None, tasks=TASKS):
        """What the state machine comes to; `meanwhile` happens while it waits."""
        called = {task: lambda event, work=work: work(event, None) for task, work in tasks.items()}
        return Machine(called, meanwhile, DEFINITION).run(name, {}, STARTED)
