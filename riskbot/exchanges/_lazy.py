"""Loading one ccxt.pro class without importing the hundred others; no request is made here.

A plain `import ccxt.pro` reads every venue's module. Stand-in packages with the real search path
make the submodules importable one by one. This leans on ccxt's layout, so any failure falls back
to the plain import; tests/exchanges/test_lazy.py runs both ways on each upgrade of ccxt.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")
_HOME = {
    "Exchange": {
        "ccxt": "ccxt.base.exchange",
        "ccxt.async_support": "ccxt.async_support.base.exchange",
        "ccxt.pro": "ccxt.async_support.base.exchange",
    },
    "Precise": dict.fromkeys(_PACKAGES, "ccxt.base.precise"),
}


class _Package(ModuleType):
    # As the real package does, the name of a venue means its class and not its module.
    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType):
            value = value.__dict__.get(name, value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = _find(self.__name__, name)
        super().__setattr__(name, found)
        return found


def _find(package: str, name: str) -> Any:
    if name == "exchanges":
        return list(exchange_ids())
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name][package]), name)
    for home in ("ccxt.base.errors", "ccxt.base.decimal_to_precision"):
        module = importlib.import_module(home)
        if hasattr(module, name):
            return getattr(module, name)
    try:
        module = importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError:
        message = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(message) from None
    return getattr(module, name, module)


def _root() -> Path:
    spec = importlib.util.find_spec("ccxt")
    if spec is None or not spec.submodule_search_locations:
        message = "ccxt is not installed"
        raise ModuleNotFoundError(message)
    return Path(next(iter(spec.submodule_search_locations)))


def exchange_ids() -> tuple[str, ...]:
    """Return the ids of all venues ccxt.pro can stream, sorted, without importing them."""
    return tuple(
        sorted(path.stem for path in (_root() / "pro").glob("*.py") if path.stem != "__init__")
    )


def _install_stand_ins() -> None:
    root = _root()
    for name in _PACKAGES:
        package = _Package(name)
        folder = root.joinpath(*name.split(".")[1:])
        package.__dict__["__path__"] = [str(folder)]
        package.__dict__["__file__"] = str(folder / "__init__.py")
        package.__dict__["__version__"] = importlib.metadata.version("ccxt")
        package.__dict__["__spec__"] = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[name] = package
        parent, _, leaf = name.rpartition(".")
        if parent:
            sys.modules[parent].__dict__[leaf] = package


def _forget() -> None:
    for name in [key for key in sys.modules if key == "ccxt" or key.startswith("ccxt.")]:
        del sys.modules[name]


def load_class(venue_id: str) -> type[Any]:
    """Return the ccxt.pro class of a venue.

    Raises:
        ModuleNotFoundError: ccxt.pro has no such venue.
    """
    if venue_id not in exchange_ids():
        message = f"ccxt.pro has no venue {venue_id!r}"
        raise ModuleNotFoundError(message)
    if "ccxt" not in sys.modules:
        try:
            _install_stand_ins()
            return _class_of(venue_id)
        except (ImportError, AttributeError, TypeError):
            _forget()
    return _class_of(venue_id)


def _class_of(venue_id: str) -> type[Any]:
    importlib.import_module("ccxt.pro")
    found = getattr(importlib.import_module(f"ccxt.pro.{venue_id}"), venue_id)
    if not isinstance(found, type):
        message = f"ccxt.pro.{venue_id} is no class"
        raise TypeError(message)
    return found


def error_base() -> type[Exception]:
    """Return ccxt's base of all errors; call it after `load_class`."""
    base: type[Exception] = importlib.import_module("ccxt.base.errors").BaseError
    return base
