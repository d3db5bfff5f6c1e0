"""vlm3: 3D answers from a standard vision language model, in text.

The public names, nothing else. Importing this package loads neither torch nor transformers:
each name is fetched from its module at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Camera": "vlm3.geometry.camera",
    "View": "vlm3.view",
    "Predictor": "vlm3.infer.predictor",
    "load": "vlm3.infer.loading",
    "InputError": "vlm3.errors",
    "Vlm3Error": "vlm3.errors",
}

__all__ = ["Camera", "InputError", "Predictor", "View", "Vlm3Error", "__version__", "load"]

if TYPE_CHECKING:
    from vlm3.errors import InputError, Vlm3Error
    from vlm3.geometry.camera import Camera
    from vlm3.infer.loading import load
    from vlm3.infer.predictor import Predictor
    from vlm3.view import View


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vlm3' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
