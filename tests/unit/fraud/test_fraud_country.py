"""Countries of addresses: a file made here as the format says, and the packaged one against its own reader."""

import socket
from pathlib import Path
from random import Random

import pytest

from functions.fraud.country import Countries, CountryUnavailable, packaged

MARKER = b"\xab\xcd\xefMaxMind.com"


def text(value: str) -> bytes:
    return bytes([2 << 5 | len(value)]) + value.encode()


def number(value: int) -> bytes:
    return bytes([6 << 5 | 4]) + value.to_bytes(4)


def mapping(pairs: dict[str, bytes]) -> bytes:
    return bytes([7 << 5 | len(pairs)]) + b"".join(text(name) + value for name, value in pairs.items())


def database(networks: dict[str, str], bits: int, version: int = 6) -> bytes:
    """A file for networks ("203.0.113.0/24": "US"), with records of 24, 28 or 32 bits. The codes are reached by
    pointers, as real files do."""
    codes = sorted(set(networks.values()))
    data, offsets = b"", {}
    for code in codes:
        where = len(data)
        data += text(code)
        offsets[code] = len(data)
        pointer = bytes([1 << 5 | where >> 8 & 7, where & 255])
        data += mapping({"continent": text("??"), "country": mapping({"names": bytes([0, 4]), "iso_code": pointer})})
    nodes: list[list[int | str | None]] = [[None, None]]
    for network, code in networks.items():
        address, _, length = network.partition("/")
        v6 = ":" in address
        packed = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, address)
        path = [int(bit) for bit in f"{int.from_bytes(packed):0{len(packed) * 8}b}"][: int(length)]
        path = path if v6 or version == 4 else [0] * 96 + path
        node = 0
        for bit in path[:-1]:
            if not isinstance(nodes[node][bit], int):
                nodes.append([None, None])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]  # type: ignore[assignment]
        nodes[node][path[-1]] = code
    tree = b""
    for node_ in nodes:
        left, right = (
            len(nodes) if child is None else child if isinstance(child, int) else len(nodes) + 16 + offsets[child]
            for child in node_
        )
        if bits == 28:
            middle = bytes([left >> 24 << 4 | right >> 24])
            tree += (left & 0xFFFFFF).to_bytes(3) + middle + (right & 0xFFFFFF).to_bytes(3)
        else:
            tree += left.to_bytes(bits // 8) + right.to_bytes(bits // 8)
    about = {"node_count": number(len(nodes)), "record_size": number(bits), "ip_version": number(version)}
    return tree + bytes(16) + data + MARKER + mapping(about)


NETWORKS = {"203.0.113.0/24": "US", "198.51.100.0/25": "DE", "192.0.2.7/32": "FR", "2001:db8::/32": "BR"}


@pytest.fixture(params=[24, 28, 32])
def countries(request: pytest.FixtureRequest, tmp_path: Path) -> Countries:
    (tmp_path / "file.mmdb").write_bytes(database(NETWORKS, request.param))
    return Countries(tmp_path / "file.mmdb")


def test_an_address_has_the_country_of_its_network(countries: Countries) -> None:
    expected = {
        "203.0.113.0": "US",
        "203.0.113.255": "US",
        "203.0.114.0": None,
        "198.51.100.127": "DE",
        "198.51.100.128": None,
        "192.0.2.7": "FR",
        "192.0.2.6": None,
        "2001:db8:ffff::1": "BR",
        "2001:db9::": None,
        "::ffff:203.0.113.9": "US",
    }
    assert {ip: countries(ip) for ip in expected} == expected


@pytest.mark.parametrize("ip", ["", "nonsense", "203.0.113", "203.0.113.7/24", "1.2.3.4.5", "\x00", "é"])
def test_what_is_no_address_has_no_country(countries: Countries, ip: str) -> None:
    assert countries(ip) is None


def test_a_file_of_ipv4_alone_knows_no_ipv6(tmp_path: Path) -> None:
    (tmp_path / "file.mmdb").write_bytes(database({"203.0.113.0/24": "US"}, 24, version=4))
    countries = Countries(tmp_path / "file.mmdb")
    assert (countries("203.0.113.7"), countries("2001:db8::1"), countries("9.9.9.9")) == ("US", None, None)


@pytest.mark.parametrize("content", [b"", b"no database", MARKER, MARKER + mapping({"node_count": number(1)})])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.mmdb").write_bytes(content)
    with pytest.raises(CountryUnavailable):
        Countries(tmp_path / "file.mmdb")
    with pytest.raises(CountryUnavailable):
        Countries(tmp_path / "nowhere.mmdb")


def test_the_packaged_file_is_read_as_its_own_reader_reads_it() -> None:
    maxminddb = pytest.importorskip("maxminddb")
    countries, theirs = Countries(packaged()), maxminddb.open_database(str(packaged()))
    random = Random(1)
    addresses = [socket.inet_ntoa(random.randbytes(4)) for _ in range(1000)]
    addresses += [socket.inet_ntop(socket.AF_INET6, bytes([0x20, 1]) + random.randbytes(14)) for _ in range(300)]
    found = {ip: (theirs.get(ip) or {}).get("country", {}).get("iso_code") for ip in addresses}
    known = {ip: code if code and len(code) == 2 else None for ip, code in found.items()}
    assert {ip: countries(ip) for ip in addresses} == known
    assert sum(code is not None for code in known.values()) > 500
