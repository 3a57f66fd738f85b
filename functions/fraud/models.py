"""Which models are asked: the champion, and one in shadow beside it, as the pointers in fraud-rules say.

The shipped model is there from the beginning. Any other version is fetched and loaded by one background thread while
the model before goes on answering. A `Booster` is not for concurrent use: that thread makes it, asks it nothing, and
hands it over; only the thread that serves charges predicts, swaps and lets go.

LightGBM reads the file into trees of its own on the heap: no memory is mapped, so the files are gone as soon as they
are loaded, and each model held costs its trees (the shipped one 0.4 MB). Held are the shipped one, champion and
shadow, and while a new one is loaded the one before it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config

from functions.fraud.booster import ModelUnavailable
from functions.fraud.model import Model, Pointers, load_model
from functions.fraud.observability import logger

if TYPE_CHECKING:
    from botocore.client import BaseClient

RETRY_SECONDS = 60.0

# A version is part of an object's key, and of every item of fraud-scores.
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,40}")

FILES = ("model.txt", "model.json")

# The shipped one has 0.4 MB. Something much larger is no model of ours, and would fill memory and disk.
MOST_BYTES = 32_000_000

Fetch = Callable[[str], Model]
"""Fetches and loads a version, or raises anything."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The models that one charge is put to; without a champion its answer is degraded."""

    champion: Model | None
    shadow: Model | None = None


class Models:
    """What is loaded, and what is being loaded. For the one thread that serves charges."""

    def __init__(self, shipped: Model | None, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._shipped = shipped
        self._fetch = fetch
        self._clock = clock
        self._panel = Panel(shipped)
        self._loaded: dict[str, Model] = {shipped.version: shipped} if shipped else {}
        self._loading: tuple[str, Future[Model]] | None = None
        self._not_before: dict[str, float] = {}
        self._loader: ThreadPoolExecutor | None = None

    def asked(self, pointers: Pointers | None) -> Panel:
        """The models to ask now; begins to load those that are to be asked and are not there yet.

        A champion that is not there leaves the one before. None, pointers that are not known, leaves all as it is.
        """
        if pointers is None:
            return self._panel
        self._take_what_is_loaded()
        champion = self._shipped if pointers.champion is None else self._loaded.get(pointers.champion)
        shadow = self._loaded.get(pointers.shadow) if pointers.shadow else None
        self._panel = Panel(champion or self._panel.champion, shadow)
        self._load(pointers)
        self._let_go(pointers)
        return self._panel

    def _take_what_is_loaded(self) -> None:
        if self._loading is None or not self._loading[1].done():
            return
        version, loading = self._loading
        self._loading = None
        error = loading.exception()
        if error is None:
            self._loaded[version] = loading.result()
            self._not_before.pop(version, None)
            logger.info("model loaded", extra={"model": version})
        else:
            self._not_before = {**self._not_before, version: self._clock() + RETRY_SECONDS}
            still = self._panel.champion.version if self._panel.champion else None
            logger.error("model not loaded", extra={"model": version, "reason": repr(error), "still_asked": still})

    def _load(self, pointers: Pointers) -> None:
        """One at a time, the champion first."""
        for version in (pointers.champion, pointers.shadow):
            waiting = version is None or version in self._loaded or self._clock() < self._not_before.get(version, 0)
            if version and not waiting and self._loading is None:
                self._loader = self._loader or ThreadPoolExecutor(1, thread_name_prefix="models")
                self._loading = version, self._loader.submit(self._fetch, version)

    def _let_go(self, pointers: Pointers) -> None:
        held = {pointers.champion, pointers.shadow}
        held |= {model.version for model in (self._shipped, self._panel.champion) if model}
        self._loaded = {version: model for version, model in self._loaded.items() if version in held}
        self._not_before = {version: at for version, at in self._not_before.items() if version in held}


class Bucket:
    """The region's bucket of models. Its client is made when the first model is fetched, which most functions never
    do."""

    def __init__(self, region: str, bucket: str) -> None:
        self._region = region
        self._bucket = bucket
        self._made: BaseClient | None = None

    def fetch(self, version: str) -> Model:
        """The model of this version, loaded. Raises ModelUnavailable, or what botocore raises."""
        if not _VERSION.fullmatch(version):
            raise ModelUnavailable(f"{version!r} is no version")
        with TemporaryDirectory(prefix="model-") as folder:
            for name in FILES:
                Path(folder, name).write_bytes(self._read(f"models/{version}/{name}"))
            model = load_model(Path(folder))
        if model.version != version:
            raise ModelUnavailable(f"the model says that it is {model.version}")
        return model

    def _read(self, key: str) -> bytes:
        content: bytes = self._client().get_object(Bucket=self._bucket, Key=key)["Body"].read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ModelUnavailable(f"{key} has more than {MOST_BYTES} bytes")
        return content

    def _client(self) -> Any:
        if self._made is None:
            config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
            session = botocore.session.get_session()
            self._made = session.create_client("s3", region_name=self._region, config=config)
        return self._made
