"""All three of the vault's keys are rotated by the operator's commands while charges go on: none of them is lost."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from local.client import TEST_CARD, new_card_number
from payments.sealing import seal_card
from tests.e2e.cloud import FIRST, SECOND, until

PAUSE = 0.4


class Load:
    """Merchants' charges from several threads, by raw card, sealed card and token, until told to stop."""

    def __init__(self, cloud):
        self._cloud = cloud
        self._stop = threading.Event()
        self.answers = []

    def charge(self, thread):
        merchant, token, known = self._cloud.merchant(), None, new_card_number()
        for number in itertools.count():
            if self._stop.is_set():
                return
            card = {**TEST_CARD, "number": new_card_number() if number % 2 else known}
            fields = {"token": token} if token and number % 3 == 0 else {"card": card}
            if number % 3 == 1:
                fields = {"sealed_card": self._sealed(card)}
            answer = merchant.charge(1300, **fields)
            self.answers.append(answer)
            token = answer.body.get("card", {}).get("token")
            time.sleep(PAUSE)

    def _sealed(self, card):
        jwk = self._cloud.merchant().public_key()
        merchant_id = self._cloud.endpoints["merchant"]["id"]
        return seal_card(card, jwk, merchant_id, f"rotation-{time.time_ns()}-{threading.get_ident()}", int(time.time()))

    def stop(self):
        self._stop.set()


def test_rotating_every_key_under_load_loses_no_request(cloud, cli):
    load = Load(cloud)
    before = cloud.merchant().public_key()["kid"]
    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(load.charge, thread) for thread in range(3)]
        try:
            cli("vault", "rotate", "token-key", "--lead", "30")
            cli("vault", "rotate", "sealing-key", "--lead", "30")
            rotated = cli("vault", "rotate", "kek", "--lead", "30")
            time.sleep(2)
        finally:
            load.stop()
        for thread in threads:
            thread.result()

    assert "everything is under version 2" in rotated.stdout
    assert len(load.answers) > 50
    assert [answer for answer in load.answers if answer.status != 201] == []
    versions = {answer.body["card"]["token"][:5] for answer in load.answers}
    assert versions == {"tok_1", "tok_2"}
    until(lambda: cloud.merchant().public_key()["kid"] != before, 90, "the new public key, through every cache")
    for answer in load.answers:
        assert cloud.merchant().settled(answer.body["id"])["status"] == "succeeded"
    for region in (FIRST, SECOND):
        cards = [item for item in cloud.items("vault-tokens", region) if item.get("kind") == "card"]
        assert {item["kek_version"] for item in cards} == {2}
    cloud.assert_books_balance()
