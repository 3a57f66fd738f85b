"""`/operations/v1/fraud/models`: which model scores charges, what is known of each, and going back."""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.operations import caller, fraud_changes, fraud_model_changes, fraud_model_store, fraud_requests
from functions.operations.changes import Answered
from functions.operations.fraud_model_changes import CHAMPION
from functions.operations.fraud_requests import Switch
from functions.operations.fraud_values import GLOBAL
from functions.operations.settings import settings
from payments.listings import InvalidCursor
from payments.rest import exchange
from payments.rest.queries import PageQuery, decode

router = APIGatewayRouter()
_PATH = "/operations/v1/fraud/models"


@router.get(_PATH)
def listed() -> Response[Any]:
    """Which models are asked, and the reports of training, the newest first."""
    event = router.current_event
    caller.operator(event)
    query = decode(event, PageQuery)
    try:
        page = fraud_model_store.reports(query.limit, query.cursor)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    told = {
        "object": "list",
        "champion": fraud_model_changes.champion(),
        "shadow": fraud_model_changes.shadow(),
        "shipped": settings().shipped_model,
        "data": [_report(run, report) for run, report in page.data],
        "has_more": page.has_more,
        "next_cursor": page.next_cursor,
    }
    return exchange.answer(HTTPStatus.OK, {**told, "request_id": exchange.request_id(event)})


@router.get(f"{_PATH}/<version>")
def one(version: str) -> Response[Any]:
    """A version: what its training left in writing, and what operators and training did about it."""
    event = router.current_event
    caller.operator(event)
    model, shipped = fraud_model_store.about(version), version == settings().shipped_model
    if model is None and not shipped:
        raise fraud_model_changes.model_not_found()
    champion, shadow = fraud_model_changes.champion(), fraud_model_changes.shadow()
    told = {
        "id": version,
        "object": "fraud_model",
        "shipped": shipped,
        "champion": version == champion["version"],
        "previous": version == champion["previous"],
        "shadow": shadow is not None and version == shadow["version"],
        "model": model,
        "report": _report_of(model or {}),
        "audit": [done for done in fraud_changes.trail(GLOBAL, CHAMPION) if _concerns(done, version)],
    }
    return exchange.answer(HTTPStatus.OK, {**told, "request_id": exchange.request_id(event)})


@router.post(f"{_PATH}/<version>/promote")
def promote(version: str) -> Response[Any]:
    """Have this version score charges."""
    change = fraud_requests.change(router.current_event, "promote", GLOBAL, CHAMPION, Switch)
    return _answered(fraud_model_changes.promote(change, version))


@router.post(f"{_PATH}/rollback")
def rollback() -> Response[Any]:
    """Have the version before score charges again."""
    change = fraud_requests.change(router.current_event, "rollback", GLOBAL, CHAMPION, Switch)
    return _answered(fraud_model_changes.rollback(change))


def _report(run: str, report: dict[str, Any] | None) -> dict[str, Any]:
    return {**(report or {}), "id": run, "object": "fraud_training_report", "readable": report is not None}


def _report_of(model: dict[str, Any]) -> dict[str, Any] | None:
    """The report of the run that made a model; None for one that no run made."""
    training = model.get("training")
    run = training.get("run") if isinstance(training, dict) else None
    return _report(run, fraud_model_store.report(run)) if isinstance(run, str) else None


def _concerns(done: dict[str, Any], version: str) -> bool:
    """Whether something that was done made this version the champion, or no longer."""
    return version in [told.get("version") for told in (done["before"], done["after"]) if told]


def _answered(answered: Answered) -> Response[Any]:
    headers = {"Idempotent-Replayed": "true"} if answered.replayed else {}
    told = {**answered.body, "request_id": exchange.request_id(router.current_event)}
    return exchange.answer(HTTPStatus.OK, told, headers)
