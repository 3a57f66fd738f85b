"""The tables in memory are DynamoDB's: every request of some runs is made of moto as well, and answered the same."""

import pytest
from botocore.exceptions import ClientError

from payments.clients import client
from tests.functional.conftest import account, remake_tables  # noqa: F401 - fixtures
from tests.simulation import expressions
from tests.simulation.hub import NotSimulated
from tests.simulation.world import World

METHODS = {
    "GetItem": "get_item",
    "BatchGetItem": "batch_get_item",
    "Query": "query",
    "TransactWriteItems": "transact_write_items",
    "PutItem": "put_item",
}
PLAYED = ("payments", "ledger")


class Recorder:
    """Everything that the tables of a run's first region were asked for, with the answers, and what was replicated."""

    def __init__(self, seed):
        self.log, self._asked = [], False
        world = World(seed)
        self._tables = world.regions[0].tables
        self._do, self._place = self._tables.do, self._tables.place
        self._tables.do, self._tables.place = self.do, self.place
        self._tables._stale = lambda: False
        world.run()

    def do(self, operation, asked, token):
        if token in self._tables._committed:  # moto knows no ClientRequestToken
            return self._do(operation, asked, token)
        self._asked = True
        try:
            answer = outcome = self._do(operation, asked, token)
        except ClientError as error:
            outcome = [reason["Code"] for reason in error.response["CancellationReasons"]]
            raise
        finally:
            self._asked = False
            self.log.append((operation, asked, outcome))
        return answer

    def place(self, table, key, item):
        self._place(table, key, item)
        if not self._asked:
            self.log.append(("PutItem", {"TableName": table, "Item": item}, {}))


def answered(operation, asked):
    """What moto answers, as far as it is compared."""
    asked = {name: value for name, value in asked.items() if name != "ReturnConsumedCapacity"}
    try:
        found = getattr(client("dynamodb"), METHODS[operation])(**asked)
    except ClientError as error:
        return [reason["Code"] for reason in error.response["CancellationReasons"]]
    return content(found)


def content(answer):
    if isinstance(answer, list):
        return answer
    lists = [answer.get("Items", []), *answer.get("Responses", {}).values()]
    items = sorted((item for found in lists for item in found), key=repr)
    return {"item": answer.get("Item"), "items": items}


def test_moto_answers_every_request_of_some_runs_the_same(remake_tables):  # noqa: F811
    compared = set()

    for seed in range(6):
        log = Recorder(seed).log
        remake_tables()
        for operation, asked, outcome in log:
            if operation != "Scan" and asked.get("TableName", "payments") in PLAYED:
                assert answered(operation, asked) == content(outcome), (operation, asked)
                compared |= {operation, "canceled" if isinstance(outcome, list) else "done"}

    assert compared == {*METHODS, "canceled", "done"}


@pytest.mark.parametrize(
    "text", ["size(#0) > :0", "NOT #0 = :0", "#0 IN (:0, :1)", "contains(#0, :0)", "#0.a = :0", ""]
)
def test_a_condition_that_is_not_known_is_no_condition(text):
    with pytest.raises((NotSimulated, IndexError)):
        expressions.condition(text)


@pytest.mark.parametrize(
    "text", ["ADD #0 :0", "SET #0 = #0 + :0", "SET #0 = if_not_exists(#0, :0)", "DELETE #0 :0", ""]
)
def test_an_update_that_is_not_known_is_no_update(text):
    with pytest.raises(NotSimulated):
        expressions.update(text)


ITEM = {"name": {"S": "b"}, "count": {"N": "10"}}
VALUES = {":a": {"S": "a"}, ":c": {"S": "c"}, ":nine": {"N": "9"}, ":ten": {"N": "10.0"}}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("attribute_exists(name)", True),
        ("attribute_not_exists (#n)", False),
        ("count > :nine AND count = :ten", True),
        ("count = :nine OR name <> :a", True),
        ("(count = :nine OR name = :a) AND name = :a", False),
        ("#n BETWEEN :a AND :c", True),
        ("#n BETWEEN :a AND :c AND count < :nine", False),
        ("begins_with(name, :a)", False),
        ("missing < :nine", False),
        ("name < :nine", False),
    ],
)
def test_what_a_condition_means(text, holds):
    assert expressions.condition(text)(ITEM, {"#n": "name"}, VALUES) is holds
