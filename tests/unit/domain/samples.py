"""Values that the tests of the domain share."""

from payments import identifiers, lifecycle
from payments.lifecycle import Authorization, Failure, Payment, Status

MERCHANT = "mer_" + "a" * 24
CREATED = "2026-11-23T10:00:00.000Z"
AT = "2026-11-23T10:00:01.000Z"
DECLINED = Failure("card_declined", "The card was declined.")


def new_payment(**changes):
    """A pending payment of 42.00 USD by card."""
    payment_id = identifiers.payment_id(MERCHANT, "key-1")
    values = {
        "payment_id": payment_id,
        "merchant_id": MERCHANT,
        "shard": identifiers.merchant_shard(MERCHANT),
        "fingerprint": "f" * 64,
        "attempt": "att_1",
        "region": "us-east-1",
        "status": Status.PENDING,
        "amount": 4200,
        "currency": "USD",
        "capture": True,
        "network_ref": identifiers.network_reference(payment_id),
        "card": {"network": "visa", "brand": "visa", "exp_month": 12},
        "fraud": {"score": 3},
        "created_at": CREATED,
        "updated_at": CREATED,
    }
    return Payment(**{**values, **changes})


def approved(**changes):
    """A payment that the card network approved: captured, or with `capture=False` authorized only."""
    return lifecycle.decide(new_payment(**changes), Authorization(), AT)[0]


def reach(status):
    """A payment that came to be in this state by the platform's own steps."""
    match status:
        case Status.PENDING:
            return new_payment()
        case Status.FRAUD_BLOCKED:
            return new_payment(status=Status.FRAUD_BLOCKED)
        case Status.FAILED:
            return lifecycle.decide(new_payment(), Authorization(DECLINED), AT)[0]
        case Status.REQUIRES_CAPTURE:
            return approved(capture=False)
        case Status.PARTIALLY_CAPTURED:
            return lifecycle.capture(approved(capture=False), "cap_1", 1000, False, AT)[0]
        case Status.CANCELED:
            return lifecycle.void(approved(capture=False), "vod_1", AT)[0]
        case Status.SUCCEEDED:
            return approved()
        case Status.PARTIALLY_REFUNDED:
            return lifecycle.refund(approved(), "ref_1", 1000, AT)[0]
        case Status.REFUNDED:
            return lifecycle.refund(approved(), "ref_1", None, AT)[0]
        case Status.DISPUTED:
            return lifecycle.open_dispute(approved(), "dsp_1", None, AT)[0]
        case Status.CHARGED_BACK:
            return lifecycle.lose_dispute(reach(Status.DISPUTED), AT)[0]


AUTHORIZATION = "authorization#" + "f" * 16
"""Id of the first journal of a new payment."""
