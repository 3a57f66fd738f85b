"""The dials: turned by one process, read by others, and never to what they cannot be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local import dials
from local.dials import DialFile, Dials, InvalidDial
from local.settings import Settings

EAST, WEST = "us-east-1", "us-west-2"


@pytest.fixture
def at(tmp_path: Path) -> Settings:
    return Settings(tmp_path, replication_lag_ms=70, card_network_latency_ms=(1, 2))


def test_they_start_as_the_settings_say(at: Settings) -> None:
    assert DialFile(at)() == Dials(lag_ms=70, card_network_latency_ms=(1, 2))


def test_a_turn_is_seen_by_other_processes_at_once(at: Settings) -> None:
    mine, another = DialFile(at), DialFile(at)
    assert another().lag_ms == 70

    for lag in range(100, 140):
        mine.turn(lag_ms=lag)
        assert another().lag_ms == lag


def test_a_turn_leaves_the_other_dials(at: Settings) -> None:
    DialFile(at).turn(link_drop_rate=0.25, card_network_latency_ms=(5, 10))

    turned = DialFile(at).turn(lag_ms=1)

    assert turned == Dials(1, 0, 0.25, (5, 10)) == DialFile(at)()


def test_a_region_is_cut_off_until_it_is_mended(at: Settings) -> None:
    file = DialFile(at)
    assert not file().apart

    assert file.cut(EAST).apart
    assert file.cut(WEST).cut_off == (EAST, WEST)
    assert file.mend(WEST).apart
    assert not file.mend(EAST).apart


def test_a_reset_is_the_start(at: Settings) -> None:
    file = DialFile(at)
    file.turn(lag_ms=1, cut_off=(EAST,))

    assert file.reset() == file() == file.start


@pytest.mark.parametrize(
    "changes",
    [
        {"lag_ms": -1},
        {"lag_ms": 600_001},
        {"link_latency_ms": -1},
        {"link_drop_rate": 1.1},
        {"card_network_drop_rate": -0.1},
        {"card_network_latency_ms": (2, 1)},
        {"cut_off": ("eu-west-1",)},
    ],
)
def test_what_cannot_be_is_refused_and_turns_nothing(at: Settings, changes: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidDial):
        DialFile(at).turn(**changes)

    assert DialFile(at)() == DialFile(at).start


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lag-ms", "5000", {"lag_ms": 5000}),
        ("link-drop-rate", "0.1", {"link_drop_rate": 0.1}),
        ("card-network-latency-ms", "20-100", {"card_network_latency_ms": (20, 100)}),
        ("card-network-latency-ms", "20", {"card_network_latency_ms": (20, 20)}),
    ],
)
def test_operators_write_names_and_values(name: str, text: str, value: Mapping[str, Any]) -> None:
    assert dials.parsed(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"), [("lag", "1"), ("cut-off", EAST), ("lag-ms", "a"), ("lag-ms", "1.5"), ("link-drop-rate", "")]
)
def test_what_is_no_dial_or_no_value_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidDial, match=name):
        dials.parsed(name, text)


def test_everything_is_shown_as_it_is_written() -> None:
    shown = dials.shown(Dials(cut_off=(EAST,)))

    assert shown["card-network-latency-ms"] == "200-500"
    assert shown["cut-off"] == EAST
    assert set(shown) == {name.replace("_", "-") for name in Dials.__dataclass_fields__}
