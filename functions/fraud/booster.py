"""LightGBM's prediction of one row through its C API: no numpy, no `import lightgbm` (which costs 200 ms and scipy).

Functions and constants as in LightGBM 4.7.0, include/LightGBM/c_api.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from weakref import finalize

DTYPE_FLOAT64 = 1  # C_API_DTYPE_FLOAT64
PREDICT_NORMAL = 0  # C_API_PREDICT_NORMAL: the probability
PREDICT_CONTRIB = 3  # C_API_PREDICT_CONTRIB: what each feature adds to the log-odds, and what they begin with


class ModelUnavailable(Exception):
    """The model cannot be loaded or asked: library or file missing, damaged, or not made for these features."""


class Booster:
    """A loaded model. Not for concurrent use: the row's buffer is shared by its calls. Its memory is LightGBM's, and
    given back when nobody holds the model any more."""

    def __init__(self, path: Path, features: int) -> None:
        """Load the model text file at `path`, of `features` columns. Raises ModelUnavailable."""
        self._library = _library()
        self._handle = ctypes.c_void_p()
        trees = ctypes.c_int()
        file_name = ctypes.c_char_p(str(path).encode())
        self._call("LGBM_BoosterCreateFromModelfile", file_name, ctypes.byref(trees), ctypes.byref(self._handle))
        finalize(self, self._library.LGBM_BoosterFree, self._handle).atexit = False
        columns = ctypes.c_int()
        self._call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(columns))
        if columns.value != features:
            raise ModelUnavailable(f"the model has {columns.value} features, the catalogue {features}")
        self._row = (ctypes.c_double * features)()
        self._probability = self._question(PREDICT_NORMAL, 1)
        self._contributions: _Question | None = None

    def _question(self, kind: int, numbers: int) -> _Question:
        """Prepare the question of this kind, whose answer has so many numbers. Raises ModelUnavailable."""
        fast = ctypes.c_void_p()
        self._call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            self._handle,
            ctypes.c_int(kind),
            ctypes.c_int(0),  # from the first tree
            ctypes.c_int(-1),  # to the last
            ctypes.c_int(DTYPE_FLOAT64),
            ctypes.c_int32(len(self._row)),
            ctypes.c_char_p(b"num_threads=1"),
            ctypes.byref(fast),
        )
        finalize(self, self._library.LGBM_FastConfigFree, fast).atexit = False
        answer, length = (ctypes.c_double * numbers)(), ctypes.c_int64()
        return _Question((fast, self._row, ctypes.byref(length), answer), answer)

    def _call(self, function: str, *arguments: object) -> None:
        if getattr(self._library, function)(*arguments) != 0:
            raise ModelUnavailable(f"{function}: {self._library.LGBM_GetLastError().decode()}")

    def predict(self, row: Sequence[float]) -> float:
        """Probability of fraud, 0 to 1, of a row in the catalogue's order; NaN is a missing value."""
        return float(self._ask(self._probability, row)[0])

    def contributions(self, row: Sequence[float]) -> list[float]:
        """What each feature of the row adds to the log-odds of fraud, in the catalogue's order; negative takes away.

        Shapley values by TreeSHAP (Lundberg, Erion and Lee, "Consistent individualized feature attribution for tree
        ensembles", 2018). The last number is what every row begins with; the sum of all is the row's log-odds. It is
        some hundred times the work of `predict`, and prepared at first use.
        """
        if self._contributions is None:
            self._contributions = self._question(PREDICT_CONTRIB, len(self._row) + 1)
        return list(self._ask(self._contributions, row))

    def _ask(self, question: _Question, row: Sequence[float]) -> ctypes.Array[ctypes.c_double]:
        self._row[:] = list(row)
        if self._library.LGBM_BoosterPredictForMatSingleRowFast(*question.arguments) != 0:
            raise ModelUnavailable(f"predict: {self._library.LGBM_GetLastError().decode()}")
        return question.answer


@dataclass(frozen=True, slots=True)
class _Question:
    """Arguments of LightGBM's prediction of one row, among them the row's buffer, and where the answer is put."""

    arguments: tuple[object, ...]
    answer: ctypes.Array[ctypes.c_double]


@cache
def _library() -> ctypes.CDLL:
    """`lib_lightgbm.so` of the installed package. It needs libgomp.so.1 on the loader's path (Lambda: /opt/lib)."""
    spec = find_spec("lightgbm")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ModelUnavailable("the package lightgbm is not installed")
    try:
        library = ctypes.CDLL(str(Path(next(iter(folders))) / "lib" / "lib_lightgbm.so"))
    except OSError as error:
        raise ModelUnavailable(str(error)) from error
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library
