"""`GET /api/v1/balance`: what the platform owes a merchant, now or at an instant."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.api import caller, statements
from functions.api.operations import Operation, describes
from functions.api.queries import BalanceQuery
from functions.api.resources import Balance, Sum
from functions.api.statements import Standing
from payments import clock, journal
from payments.errors import InvalidRequest
from payments.rest import exchange, queries

router = APIGatewayRouter()


@router.get("/api/v1/balance")
@describes(
    Operation(
        answers={200: Balance},
        errors={400: ("invalid_field", "card_data_in_field", "at_in_future")},
        query=BalanceQuery,
    )
)
def balance() -> Response[Any]:
    """Read the balance.

    `available` can be paid out, `pending` is authorized and not captured, `disputed` is held until disputes end. At a
    past instant it is what was booked up to and including it; without one, all that this region has summed up.
    """
    event = router.current_event
    query = queries.decode(event, BalanceQuery)
    merchant_id = caller.merchant(event).merchant_id
    if query.at is None:
        at, standing = clock.now(), statements.current(merchant_id)
    else:
        if query.at > datetime.now(UTC):
            raise InvalidRequest("at_in_future", "The balance of an instant to come is not known.", param="at")
        at = queries.last_millisecond(query.at, "at")
        standing = statements.at(merchant_id, at)
    return exchange.answer(HTTPStatus.OK, _balance(standing, at, exchange.request_id(event)))


def _balance(standing: Standing, at: str, request_id: str) -> Balance:
    """Every currency of the merchant's in each of the lists."""
    currencies, nothing = standing.currencies, journal.Balance()
    owed, held = ({name: sums.get(name, nothing) for name in currencies} for sums in (standing.owed, standing.held))
    return Balance(
        at=at,
        available=[Sum(name, owed[name].available) for name in currencies],
        pending=[Sum(name, owed[name].credits_pending) for name in currencies],
        disputed=[Sum(name, held[name].debit) for name in currencies],
        request_id=request_id,
    )
