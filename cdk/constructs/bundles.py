"""What goes into Lambda's zips: a function's folder, the domain layer, and third-party wheels, without Docker.

Sources are staged into a fresh folder first, so that an asset holds nothing but what it should and its hash depends on
the content alone. Wheels are bundled by pip for Lambda's platform. Locally no wheels are bundled: the emulator's
workers run under the venv's interpreter, which has every dependency already.
"""

import atexit
import functools
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

ROOT = Path(__file__).resolve().parents[2]

MODEL_FILES = ("models/fraud/model.txt", "models/fraud/model.json", "models/fraud/reference.json")

_NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", "tests", "README.md", "requirements*", ".*")

PLATFORM = (
    "--platform=manylinux2014_aarch64",
    "--platform=manylinux_2_28_aarch64",
    "--implementation=cp",
    "--python-version=3.13",
    "--only-binary=:all:",
)

_OPENMP = "scikit_learn.libs/libgomp*"

_ONLY_OF_SCIKIT_LEARN = ("scikit_learn*", "sklearn", "joblib*", "cloudpickle*", "threadpoolctl*")

_LIGHTGBM_PYTHON = [
    "lightgbm*",
    "scikit_learn*",
    "sklearn",
    "numpy*",
    "scipy*",
    "joblib*",
    "cloudpickle*",
    "threadpoolctl*",
    "narwhals*",
]

Finish = Callable[[Path], None]
"""A last step over a layer's folder, after pip."""


class BundleError(RuntimeError):
    """Something that should go into a bundle is missing or could not be made."""


def function_code(folder: str, *, models: bool = False) -> lambda_.Code:
    """The bundle of ``functions/<folder>``, under its full path; with the fraud model's files if asked for."""
    return lambda_.Code.from_asset(str(stage_function(folder, models=models)))


def shipped_model() -> str:
    """Version of the fraud model that is in the fraud function's bundle."""
    return str(json.loads(_existing("models/fraud/model.json").read_text())["version"])


def domain_code() -> lambda_.Code:
    """The shared domain as a layer: ``python/payments``."""
    return lambda_.Code.from_asset(str(_stage_domain()))


def wheels_code(requirements: str, finish: Finish | None = None) -> lambda_.Code:
    """A layer of the wheels in a hash-pinned requirements file, named relative to the project's root."""
    path = _existing(requirements)
    recipe = "\n".join([path.read_text(), *PLATFORM, finish.__qualname__ if finish else ""])
    return lambda_.Code.from_asset(
        str(path.parent),
        asset_hash=hashlib.sha256(recipe.encode()).hexdigest(),
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            image=DockerImage.from_registry("docker-is-not-used"), local=_PipBundling(path, finish)
        ),
    )


def install_wheels(requirements: Path, layer: Path, finish: Finish | None = None) -> None:
    """Install a hash-pinned requirements file for Lambda into ``<layer>/python``, then take the finishing step.

    Raises BundleError with pip's words if a wheel is missing for the platform or has another hash.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-compile", "--no-deps", "--require-hashes", *PLATFORM]
    # The file was resolved for Lambda's Python; pip's own check would look at the Python it runs on.
    command += ["--ignore-requires-python", "--target", str(layer / "python"), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"pip could not bundle {requirements}:\n{done.stderr[-2000:]}")
    shutil.rmtree(layer / "python/bin", ignore_errors=True)
    if finish:
        finish(layer)


def keep_native_lightgbm(layer: Path) -> None:
    """Of lightgbm keep only its C library (the function calls it by ctypes): 9 MB instead of 226.

    The library needs OpenMP's runtime, which Lambda does not have; scikit-learn's wheel carries one. It goes to the
    layer's ``lib``, which is on Lambda's library path (``/opt/lib``).
    """
    site = layer / "python"
    library = (site / "lightgbm/lib/lib_lightgbm.so").read_bytes()
    _keep_openmp(layer)
    for pattern in _LIGHTGBM_PYTHON:
        for path in site.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (site / "lightgbm/lib").mkdir(parents=True)
    (site / "lightgbm/__init__.py").touch()
    (site / "lightgbm/lib/lib_lightgbm.so").write_bytes(library)


def keep_learner(layer: Path) -> None:
    """Of scikit-learn keep only OpenMP's runtime, and no package's own tests: 157 MB instead of 224. With the
    platform's dependencies (53 MB) it must stay below Lambda's 250 MB; most of it is scipy, which LightGBM imports."""
    _keep_openmp(layer)
    site = layer / "python"
    for pattern in _ONLY_OF_SCIKIT_LEARN:
        for path in site.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in [path for package in ("numpy", "scipy") for path in (site / package).rglob("tests")]:
        shutil.rmtree(path)


def _keep_openmp(layer: Path) -> None:
    runtimes = list((layer / "python").glob(_OPENMP))
    if not runtimes:
        raise BundleError("no libgomp: scikit-learn must be in the requirements of wheels with LightGBM")
    (layer / "lib").mkdir()
    (layer / "lib/libgomp.so.1").write_bytes(runtimes[0].read_bytes())


@jsii.implements(ILocalBundling)
class _PipBundling:
    def __init__(self, requirements: Path, finish: Finish | None) -> None:
        self._requirements = requirements
        self._finish = finish

    def try_bundle(self, output_dir: str, *_: Any, **__: Any) -> bool:
        install_wheels(self._requirements, Path(output_dir), self._finish)
        return True


@functools.cache
def stage_function(folder: str, *, models: bool = False) -> Path:
    """A folder that holds what a function's bundle will hold. Raises BundleError if a part of it is missing."""
    if not (ROOT / "functions" / folder / "app.py").is_file():
        raise BundleError(f"functions/{folder}/app.py is missing: there is no function to bundle")
    stage = _stage()
    _copy(f"functions/{folder}", stage / "functions" / folder)
    if (ROOT / "functions/__init__.py").is_file():
        _copy("functions/__init__.py", stage / "functions/__init__.py")
    for name in MODEL_FILES if models else ():
        _copy(name, stage / name)
    return stage


@functools.cache
def _stage_domain() -> Path:
    stage = _stage()
    _copy("layers/payments/python/payments", stage / "python/payments")
    return stage


def _stage() -> Path:
    stage = Path(tempfile.mkdtemp(prefix="payments-bundle-"))
    atexit.register(shutil.rmtree, stage, ignore_errors=True)
    return stage


def _existing(name: str) -> Path:
    path = ROOT / name
    if not path.exists():
        raise BundleError(f"{name} is missing: it belongs into a bundle")
    return path


def _copy(name: str, target: Path) -> None:
    """Copy a file or folder of the project. Modification times and modes stay behind: hashes see content only."""
    source = _existing(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
    else:
        shutil.copytree(source, target, ignore=_NOT_SHIPPED, copy_function=shutil.copyfile)
