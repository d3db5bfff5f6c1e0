"""transformers, imported without what asking a model never touches.

Its `modeling_utils` imports torch's compiler, its distributed tensors (and sympy with them), scipy
and accelerate, of which a question to a model uses nothing: half the CPU time of a first answer.
While this module imports it, those imports are put off: the names are bound to stand-ins that
import the real thing at their first use, so that whoever needs them (training over several GPUs,
compiling) finds them. Where transformers was imported before, nothing is changed.
"""

import builtins
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

PUT_OFF = (
    "accelerate",
    "scipy",
    "sklearn",
    "torch._dynamo",
    "torch.distributed._composable",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch.nn.attention.flex_attention",
    "transformers.distributed.expert_parallel",
    "transformers.distributed.tensor_parallel",
)
"""Packages that transformers imports and a question never uses."""

_USED = (
    "transformers.modeling_utils",
    "transformers.masking_utils",
    "transformers.generation.utils",
    "transformers.models.qwen3_vl.modeling_qwen3_vl",
)


class Later:
    """Stands for a module, or for a name in one, until somebody uses it.

    Args:
        module: the module to import.
        name: of the thing in it; None for the module itself.
        home: the namespaces of the module that imported it, where the real thing takes its place.
    """

    def __init__(self, module: str, name: str | None, home: dict[str, Any]) -> None:
        self.__dict__.update(_module=module, _name=name, _home=home)

    def real(self) -> Any:
        """Imports what it stands for, which takes its place in the module that imported it."""
        module, name = self._module, self._name
        thing = importlib.import_module(module)
        if name is not None:
            thing = (
                getattr(thing, name)
                if hasattr(thing, name)
                else importlib.import_module(f"{module}.{name}")
            )
        for key, value in list(self._home.items()):
            if value is self:
                self._home[key] = thing
        return thing

    def __getattr__(self, name: str) -> Any:
        if not _importing.is_set():
            return getattr(self.real(), name)
        if name.startswith("__"):
            raise AttributeError(name)
        inner = self._module if self._name is None else f"{self._module}.{self._name}"
        return Later(inner, name, self._home)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self.real()(*given, **named)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.real(),)

    def __instancecheck__(self, thing: Any) -> bool:
        # Nothing can be of a class whose module nobody has imported.
        return self._module in sys.modules and isinstance(thing, self.real())

    def __subclasscheck__(self, other: type) -> bool:
        return self._module in sys.modules and issubclass(other, self.real())

    # In annotations, which nobody reads while the module is imported.
    def __or__(self, other: Any) -> Any:
        return self if _importing.is_set() else self.real() | other

    def __ror__(self, other: Any) -> Any:
        return self if _importing.is_set() else other | self.real()

    def __getitem__(self, key: Any) -> Any:
        return self if _importing.is_set() else self.real()[key]


_importing = threading.Event()


def settle() -> None:
    """Imports everything that was put off: when torch's compiler comes in, or several GPUs."""
    for module in [m for name, m in sys.modules.items() if name.startswith("transformers.")]:
        for value in list(vars(module).values()):
            if isinstance(value, Later):
                # What cannot be imported says so where it is used.
                with suppress(ImportError):
                    value.real()


@contextmanager
def _put_off() -> Iterator[None]:
    """Within, `import` in transformers' modules binds stand-ins for what is in `PUT_OFF`."""
    plain = builtins.__import__

    def importer(
        name: str,
        namespace: Mapping[str, Any] | None = None,
        locals_: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        home = namespace if isinstance(namespace, dict) else {}
        if str(home.get("__name__", "")).startswith("transformers."):
            full = name
            if level:
                full = importlib.util.resolve_name("." * level + name, home.get("__package__"))
            if _is_put_off(full):
                if fromlist:
                    return _Names(full, home)
                if full.partition(".")[0] not in sys.modules:
                    return Later(full.partition(".")[0], None, home)
        found = plain(name, namespace, locals_, fromlist or (), level)
        if home.get("__name__") == "transformers" and level and name == "utils.import_utils":
            _read_once(found)
        return found

    builtins.__import__ = importer  # type: ignore[assignment]
    _importing.set()
    try:
        yield
    finally:
        _importing.clear()
        if builtins.__import__ is importer:
            builtins.__import__ = plain


@contextmanager
def _no_compiler() -> Iterator[None]:
    """Within, telling torch's compiler about a function does not import the compiler."""
    compiler: Any = torch.compiler
    plain, allow = compiler.disable, compiler.allow_in_graph
    later = _Notes()

    def disable(function: Any = None, recursive: bool = True, **how: Any) -> Any:
        if function is None:
            return lambda named: disable(named, recursive, **how)
        if not isinstance(function, FunctionType):
            return plain(function, recursive, **how)
        kept: list[Any] = []

        @wraps(function)
        def undisturbed(*given: Any, **named: Any) -> Any:
            if "torch._dynamo" not in sys.modules:
                return function(*given, **named)
            if not kept:
                kept.append(plain(function, recursive, **how))
            return kept[0](*given, **named)

        return undisturbed

    def told() -> None:
        later.tell(importlib.import_module("torch._dynamo"))
        settle()

    sys.meta_path.insert(0, _AfterImport("torch._dynamo", told))
    compiler.disable, compiler.allow_in_graph = disable, later.allow_in_graph
    # What torch imports when somebody asks for it.
    vars(torch).setdefault("_dynamo", later)
    try:
        yield
    finally:
        compiler.disable, compiler.allow_in_graph = plain, allow
        if vars(torch).get("_dynamo") is later:
            del vars(torch)["_dynamo"]


class _Notes:
    """Stands for torch's compiler: writes down what decorators tell it about functions."""

    def __init__(self) -> None:
        self._told: list[tuple[str, Any]] = []

    def allow_in_graph(self, function: Any) -> Any:
        """As the compiler's: the function goes into graphs as it is."""
        self._told.append(("allow_in_graph", function))
        return function

    def assume_constant_result(self, function: Any) -> Any:
        """As the compiler's: the function gives the same at every call."""
        self._told.append(("assume_constant_result", function))
        return function

    def tell(self, compiler: ModuleType) -> None:
        """Tells the compiler, now that it is there."""
        for name, function in self._told:
            getattr(compiler, name)(function)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module("torch._dynamo"), name)


class _AfterImport(MetaPathFinder):
    """Calls a function once, as soon as a module has been imported, whoever imports it."""

    def __init__(self, module: str, call: Callable[[], None]) -> None:
        self._module, self._call = module, call

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's own, whose loader also makes the call."""
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        plain = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            plain(module)
            self._call()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _read_once(utils: Any) -> None:
    """Has transformers read its model files for their names once, and not for each package."""
    plain = utils.create_import_structure_from_path
    read: dict[Path, Any] = {}

    @wraps(plain)
    def structure(module_path: Any) -> Any:
        path = Path(module_path)
        folder = path if path.is_dir() else path.parent
        if folder not in read:
            read[folder] = plain(folder)
        return read[folder]

    utils.create_import_structure_from_path = structure


class _Names:
    """What `from module import name` takes its names from."""

    def __init__(self, module: str, home: dict[str, Any]) -> None:
        self._from, self._to = module, home

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(self._from, name, self._to)


def _is_put_off(name: str) -> bool:
    if name in sys.modules or not any(name == p or name.startswith(f"{p}.") for p in PUT_OFF):
        return False
    top = name.partition(".")[0]
    return top in sys.modules or importlib.util.find_spec(top) is not None


def _checks_without_symbols() -> None:
    """Lets torch's checks of plain values pass without sympy, until sympy is there.

    Each check that holds imports it otherwise, for the compiler's sake.
    """
    symbols = "torch.fx.experimental.symbolic_shapes"
    if symbols in sys.modules:
        return
    home: Any = torch
    plain = home._check_with

    def check_with(error_type: Any, cond: Any, message: Any) -> None:
        if cond is not True:
            plain(error_type, cond, message)

    def back() -> None:
        home._check_with = plain

    home._check_with = check_with
    sys.meta_path.insert(0, _AfterImport(symbols, back))


def _load() -> None:
    _checks_without_symbols()
    if "transformers.modeling_utils" not in sys.modules:
        with _put_off(), _no_compiler():
            for name in _USED:
                importlib.import_module(name)


_load()

from transformers.integrations.sdpa_attention import sdpa_attention_forward  # noqa: E402
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask  # noqa: E402
from transformers.modeling_utils import AttentionInterface  # noqa: E402
from transformers.models.auto.configuration_auto import AutoConfig  # noqa: E402
from transformers.models.auto.modeling_auto import AutoModelForImageTextToText  # noqa: E402
from transformers.models.auto.tokenization_auto import AutoTokenizer  # noqa: E402

__all__ = [
    "AttentionInterface",
    "AttentionMaskInterface",
    "AutoConfig",
    "AutoModelForImageTextToText",
    "AutoTokenizer",
    "sdpa_attention_forward",
    "sdpa_mask",
]
