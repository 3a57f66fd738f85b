"""Key stores for tests: `KEY_STORE` settings of a kind, each with key-encryption keys of its own per directory.

SoftHSM reads its configuration when its library is first loaded, and the library is loaded once per process. So there
is one token per test run, made when first asked for, and a directory is told apart by the name of its key.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from local import softhsm

KINDS = ("file", "softhsm")


def setting(kind: str, directory: Path) -> str:
    """A `KEY_STORE` setting of this kind; the same directory always names the same keys, another one others."""
    return {"file": file_setting, "softhsm": softhsm_setting}[kind](directory)


def file_setting(directory: Path) -> str:
    """Key-encryption keys as files in the directory, which need not exist yet."""
    return f"file:{directory}"


def softhsm_setting(directory: Path) -> str:
    """Key-encryption keys in the run's SoftHSM token. Skips the test without SoftHSM, but fails it where CI is true."""
    library = softhsm.find_library(os.environ.get("SOFTHSM2_MODULE", ""))
    if library is None:
        reason = "SoftHSM is not installed (apt-get install softhsm2)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    label = f"test-{hashlib.sha256(bytes(directory)).hexdigest()[:16]}"
    return softhsm.uri(library, softhsm_token(library), label)


@cache
def softhsm_token(library: Path) -> Path:
    """The directory of the run's token; from then on this process, and what it starts, sees that token only."""
    directory = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    softhsm.prepare(library, directory)
    os.environ.update(softhsm.environment(directory))
    return directory
