"""LightGBM's prediction of one row through its C API: no numpy, no `import lightgbm` (which costs 200 ms and scipy).

Functions and constants as in LightGBM 4.7.0, include/LightGBM/c_api.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

DTYPE_FLOAT64 = 1  # C_API_DTYPE_FLOAT64
PREDICT_NORMAL = 0  # C_API_PREDICT_NORMAL: the probability


class ModelUnavailable(Exception):
    """The model cannot be loaded or asked: library or file missing, damaged, or not made for these features."""


class Booster:
    """A loaded model. Not for concurrent use: the row's buffer is shared by its calls."""

    def __init__(self, path: Path, features: int) -> None:
        """Load the model text file at `path`, of `features` columns. Raises ModelUnavailable."""
        self._library = _library()
        self._handle = ctypes.c_void_p()
        trees = ctypes.c_int()
        file_name = ctypes.c_char_p(str(path).encode())
        self._call("LGBM_BoosterCreateFromModelfile", file_name, ctypes.byref(trees), ctypes.byref(self._handle))
        columns = ctypes.c_int()
        self._call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(columns))
        if columns.value != features:
            raise ModelUnavailable(f"the model has {columns.value} features, the catalogue {features}")
        self._prepare(features)

    def _prepare(self, features: int) -> None:
        self._fast = ctypes.c_void_p()
        self._call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            self._handle,
            ctypes.c_int(PREDICT_NORMAL),
            ctypes.c_int(0),  # from the first tree
            ctypes.c_int(-1),  # to the last
            ctypes.c_int(DTYPE_FLOAT64),
            ctypes.c_int32(features),
            ctypes.c_char_p(b"num_threads=1"),
            ctypes.byref(self._fast),
        )
        self._row = (ctypes.c_double * features)()
        self._length = ctypes.c_int64()
        self._result = ctypes.c_double()
        self._predict = self._library.LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = (self._fast, self._row, ctypes.byref(self._length), ctypes.byref(self._result))

    def _call(self, function: str, *arguments: object) -> None:
        if getattr(self._library, function)(*arguments) != 0:
            raise ModelUnavailable(f"{function}: {self._library.LGBM_GetLastError().decode()}")

    def predict(self, row: Sequence[float]) -> float:
        """Probability of fraud, 0 to 1, of a row in the catalogue's order; NaN is a missing value."""
        self._row[:] = list(row)
        if self._predict(*self._arguments) != 0:
            raise ModelUnavailable(f"predict: {self._library.LGBM_GetLastError().decode()}")
        return self._result.value


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
