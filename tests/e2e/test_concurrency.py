"""Promise 2: one idempotency key, at most one payment and one authorization, however concurrently it is sent."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.cloud import FIRST, SECOND, new_key, until

REQUESTS = 50


def test_fifty_requests_with_one_key_in_both_regions_are_one_payment(cloud):
    key = new_key()
    clients = [cloud.merchant((FIRST, SECOND)[number % 2]) for number in range(REQUESTS)]

    def send(client):
        answer = client.charge(amount=4200, key=key)
        for _ in range(20):
            if answer.status not in (409, 429, 503):
                break
            time.sleep(1)
            answer = client.charge(amount=4200, key=key)
        return answer

    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(send, clients))

    assert {answer.status for answer in answers} == {201}, [a.body for a in answers if a.status != 201][:3]
    bodies = [{name: value for name, value in answer.body.items() if name != "request_id"} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert len([answer for answer in answers if not answer.replayed]) <= 1, "none, if the first was told to try again"
    payment_id = bodies[0]["id"]
    assert cloud.merchant().settled(payment_id)["status"] == "succeeded"
    cloud.journals_everywhere(payment_id, ["authorization", "capture"])
    reference = cloud.stored_payment(payment_id)["network_ref"]
    assert len(cloud.authorizations(reference)) == 1
    until(
        lambda: cloud.stored_payment(payment_id, FIRST) == cloud.stored_payment(payment_id, SECOND),
        20,
        "both regions to show the same payment",
    )
    cloud.assert_books_balance()
