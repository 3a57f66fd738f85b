"""What arrives becomes clean lines, wherever the bytes are cut on their way."""

import gzip
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.reconciliation import unpacking

LONGEST = 12
_PIECES = st.sampled_from(
    (b"\n", b"\r", b"\r\n", b"\0", b"\x1b", b"\x7f", b"\xc3", b"\xa9", b"\xef\xbb\xbf", b"ab,", b"x" * 11)
)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(unpacking, "LONGEST_LINE", LONGEST)
    monkeypatch.setattr(unpacking, "_KEPT", LONGEST + 8)
    return monkeypatch


def plainly(content):
    """The same, line by line and without regard to memory."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for line in lines if lines[-1] else lines[:-1]:
        marked = bytes(26 if byte < 32 or byte == 127 else byte for byte in line.removesuffix(b"\r"))
        cut = marked if len(marked) <= LONGEST else marked[:LONGEST] + b"\x1b"
        yield cut.decode(errors="replace").encode() + b"\n"


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(_PIECES, max_size=20), block=st.integers(1, 40), packed=st.booleans())
def test_lines_are_clean_whatever_comes_in_whatever_blocks(short, pieces, block, packed):
    content = b"".join(pieces)
    short.setattr(unpacking, "_BLOCK", block)
    with TemporaryDirectory() as name:
        source = Path(name) / "source"
        source.write_bytes(gzip.compress(content) if packed else content)
        found = unpacking.Content(source)
        blocks = list(found.blocks())

    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks).decode() == b"".join(plainly(content)).decode()
    assert found.file == sha256(content).hexdigest()[:32]


def test_a_line_without_end_takes_no_memory(tmp_path, short):
    short.setattr(unpacking, "_BLOCK", 64)
    source = tmp_path / "source"
    source.write_bytes(b"y" * 100_000 + b"\nz")

    assert [len(block) for block in unpacking.Content(source).blocks()] == [LONGEST + 2, 2]
