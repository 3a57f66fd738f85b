"""The hunt finds a card number however it is written or packed, and nothing where there is none."""

import base64
import gzip
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.client import new_card_number
from local.hunt import Places, disguises

NUMBER = "4000056655665556"
REGION = "us-east-1"


class Nothing:
    """A region in which there is nothing but what a test puts into a table or a bucket."""

    def __init__(self, items: list[dict[str, Any]], content: bytes = b""):
        self.items, self.content = items, content

    def list_tables(self) -> dict[str, Any]:
        return {"TableNames": ["ledger"]}

    def get_paginator(self, name: str) -> "Nothing":
        self.name = name
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        pages = {"scan": {"Items": self.items}, "list_objects_v2": {"Contents": [{"Key": "a"}]}}
        return [pages.get(self.name, {"events": []})]

    def get_object(self, **asked: Any) -> dict[str, Any]:
        return {"Body": self}

    def read(self) -> bytes:
        return self.content

    def list_queues(self) -> dict[str, Any]:
        return {}

    def describe_log_groups(self) -> dict[str, Any]:
        return {"logGroups": []}

    def list_state_machines(self) -> dict[str, Any]:
        return {"stateMachines": []}

    def list_buckets(self) -> dict[str, Any]:
        return {"Buckets": [{"Name": "b"}]}


def hits(monkeypatch: pytest.MonkeyPatch, home: Path, region: Nothing) -> list[str]:
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, text="[]"))
    endpoints = {"card_network": "http://network", "webhook_inbox": "http://inbox"}
    return Places(lambda service, name: region, home, endpoints).hits([new_card_number(), NUMBER], [REGION])


@pytest.mark.parametrize("needle", disguises(NUMBER))
def test_it_is_found_in_a_table_and_in_a_file_in_every_disguise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needle: bytes
) -> None:
    (tmp_path / "a.log").write_bytes(b"xx" + needle + b"yy")
    region = Nothing([{"note": {"S": f"xx{needle.decode()}yy"}}])

    assert hits(monkeypatch, tmp_path, region) == ["file a.log", f"{REGION} table ledger"]


@pytest.mark.parametrize("before", ["", "x", "xx"])
def test_base64_hides_nothing_at_any_alignment(before: str) -> None:
    encoded = base64.b64encode(f"{before}{NUMBER}".encode())

    assert any(needle in encoded for needle in disguises(NUMBER))


def test_what_is_compressed_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packed = {"journals": {"B": zlib.compress(NUMBER.encode())}}

    found = hits(monkeypatch, tmp_path, Nothing([packed], gzip.compress(NUMBER.encode())))

    assert found == [f"{REGION} object a", f"{REGION} table ledger"]


def test_nothing_is_found_where_nothing_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("4000056655665557 and other numbers")

    assert hits(monkeypatch, tmp_path, Nothing([{"note": {"S": "424242"}}], b"nothing")) == []
