"""`/operations/v1/fraud`: lists and rules that charges are held against before the model is asked."""

from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from functions.operations import caller, fraud_changes, fraud_requests, fraud_table, fraud_values, names
from functions.operations.changes import Answered
from functions.operations.fraud_requests import ListsQuery, PutEntry, PutRule, Remove, RulesQuery, ScopeQuery
from functions.operations.fraud_values import Listed
from payments.errors import InvalidRequest, NotFound
from payments.listings import InvalidCursor
from payments.rest import exchange
from payments.rest.queries import decode

router = APIGatewayRouter()
_LISTS = "/operations/v1/fraud/lists"
_RULES = "/operations/v1/fraud/rules"


@router.get(_LISTS)
def lists() -> Response[Any]:
    """What is listed in a scope, by type and value; but not what is over."""
    event = router.current_event
    caller.operator(event)
    query = decode(event, ListsQuery)
    fraud_values.check_scope(query.scope)
    prefix = f"list#{query.type}#" if query.type else "list#"
    try:
        page = fraud_table.find(query.scope, prefix, query.limit, query.cursor, fraud_changes.active)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [fraud_changes.entry(item) for item in page.data])


@router.get(f"{_LISTS}/<type>/<value>")
def entry(type: str, value: str) -> Response[Any]:
    """A value's entry, over or not, with its trail."""
    scope, listed = _listed(type, value)
    item = fraud_table.read(scope, listed.entry)
    if item is None:
        raise fraud_changes.entry_not_found()
    return _whole(fraud_changes.entry(item), scope, listed.entry)


@router.put(f"{_LISTS}/<type>/<value>")
def put_entry(type: str, value: str) -> Response[Any]:
    """Put a value on a list, or change what follows from it."""
    scope, listed = _listed(type, value)
    change = fraud_requests.change(router.current_event, "put", scope, listed.entry, PutEntry)
    return _answered(fraud_changes.put_entry(change, listed))


@router.delete(f"{_LISTS}/<type>/<value>")
def remove_entry(type: str, value: str) -> Response[Any]:
    """Take a value off a list."""
    scope, listed = _listed(type, value)
    change = fraud_requests.change(router.current_event, "remove", scope, listed.entry, Remove)
    return _answered(fraud_changes.remove_entry(change, listed))


@router.get(_RULES)
def rules() -> Response[Any]:
    """The rules of a scope."""
    event = router.current_event
    caller.operator(event)
    query = decode(event, RulesQuery)
    fraud_values.check_scope(query.scope)
    try:
        page = fraud_table.find(query.scope, "rule#", query.limit, query.cursor)
    except InvalidCursor:
        raise query.invalid_cursor() from None
    return exchange.page(event, page, [fraud_changes.rule_shown(item) for item in page.data])


@router.get(f"{_RULES}/<id>")
def rule(id: str) -> Response[Any]:
    """A rule with its trail."""
    caller.operator(router.current_event)
    name, scope = f"rule#{fraud_requests.rule_id(id)}", _scope()
    item = fraud_table.read(scope, name)
    if item is None:
        raise NotFound("fraud_rule_not_found", "There is no such rule in this scope.")
    return _whole(fraud_changes.rule_shown(item), scope, name)


@router.put(f"{_RULES}/<id>")
def put_rule(id: str) -> Response[Any]:
    """Make a rule, change it, or switch it on, off or into shadow."""
    caller.operator(router.current_event)
    rule_id = fraud_requests.rule_id(id)
    change = fraud_requests.change(router.current_event, "put", _scope(), f"rule#{rule_id}", PutRule)
    return _answered(fraud_changes.put_rule(change, rule_id))


def _scope() -> str:
    scope = decode(router.current_event, ScopeQuery).scope
    fraud_values.check_scope(scope)
    return scope


def _listed(type: str, value: str) -> tuple[str, Listed]:
    """The scope and value that a request is about, which nobody learns without being known."""
    caller.operator(router.current_event)
    scope = _scope()
    try:
        plain = names.unescaped(value)
    except NotFound:
        raise InvalidRequest("invalid_field", "The value is not written as paths have it.", param="value") from None
    return scope, fraud_values.listed(unquote(type), plain, scope)


def _whole(shown: dict[str, Any], scope: str, name: str) -> Response[Any]:
    told = {**shown, "audit": fraud_changes.trail(scope, name)}
    return exchange.answer(HTTPStatus.OK, {**told, "request_id": exchange.request_id(router.current_event)})


def _answered(answered: Answered) -> Response[Any]:
    headers = {"Idempotent-Replayed": "true"} if answered.replayed else {}
    told = {**answered.body, "request_id": exchange.request_id(router.current_event)}
    return exchange.answer(HTTPStatus.OK, told, headers)
