"""What a GPU would be asked to do, counted on a CPU: launches, waits, copies.

A pretended device: tensors that are brought to it are marked, and so is all that is computed from
them. What reads a marked tensor's values on the host is a wait (an `item`, a `tolist`, a mask that
becomes places, a copy back), and bringing an unmarked one over is a copy. Launches are operations
that compute: neither views nor empty memory. Counts equal those on a GPU as far as the code takes
the same way there; kernels that differ by device (attention, optimisers) count as what they are
here.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

_WAITS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique_dim",
    "_unique2",
    "unique_consecutive",
    "bincount",
    "is_nonzero",
    "item",
    "equal",
}
_NO_LAUNCH = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach"}


class Counts(TorchDispatchMode):
    """Counts while it is entered, beside `pretended`.

    Attributes:
        launches: operations that compute, of marked tensors, by name.
        waits: reads of marked tensors' values, by what read them.
        copies: tensors brought to the device.
        copied_bytes: their size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.copies, self.copied_bytes = 0, 0
        self._marked = WeakIdKeyDictionary()

    def mark(self, *tensors: torch.Tensor) -> None:
        """Says that these lie on the device."""
        for tensor in tensors:
            self._marked[tensor] = True

    def marked(self, tensor: Any) -> bool:
        """Whether it lies on the device."""
        return isinstance(tensor, torch.Tensor) and tensor in self._marked

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given, _ = tree_flatten((args, kwargs))
        on_device = any(map(self.marked, given)) or kwargs.get("device") is not None
        out = func(*args, **kwargs)
        if not on_device:
            return out
        name = func.overloadpacket._qualified_op_name.split("::")[-1]
        returned = func._schema.returns
        view = bool(returned) and all(
            r.alias_info is not None and not r.alias_info.is_write for r in returned
        )
        if name in _WAITS or self._by_mask(name, args) or self._by_counts(func, kwargs):
            self.waits[name] += 1
        if not view and name not in _NO_LAUNCH and name not in ("item", "is_nonzero"):
            self.launches[name] += 1
        self.mark(*[one for one in tree_flatten(out)[0] if isinstance(one, torch.Tensor)])
        return out

    def _by_mask(self, name: str, args: Any) -> bool:
        """Whether truths choose: their number has to be read."""
        if name not in ("index", "index_put", "index_put_", "_unsafe_index_put"):
            return False
        if name != "index" and args[2].numel() == 1:
            return False
        return any(i is not None and i.dtype == torch.bool and self.marked(i) for i in args[1])

    def _by_counts(self, func: Any, kwargs: Any) -> bool:
        return (
            "repeat_interleave" in str(func)
            and kwargs.get("output_size") is None
            and ("Tensor" in func._overloadname)
        )


@contextmanager
def pretended(*holders: torch.nn.Module) -> Iterator[Counts]:
    """Counts what happens inside; the weights and buffers of these modules lie on the device.

    A tensor is brought there by `to` with a device, or made there by `torch.tensor` with one, which
    waits as well.
    """
    counts = Counts()
    for module in holders:
        counts.mark(*module.parameters(), *module.buffers())
    plain = torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.tolist, torch.Tensor.numpy
    to, cpu, tolist, numpy = plain
    make = torch.tensor

    def moved(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        there = counts.marked(self)
        out = to(self, *args, **kwargs)
        place = kwargs.get("device", args[0] if args else None)
        if isinstance(place, (torch.device, str)) and not there:
            counts.copies += 1
            counts.copied_bytes += self.numel() * self.element_size()
            out = out.detach().clone() if out is self else out
            counts.mark(out)
        return out

    def read(name: str, way: Any) -> Any:
        def reading(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            out = way(self, *args, **kwargs)
            if counts.marked(self):
                counts.waits[name] += 1
                if name == "cpu":
                    out = torch.from_numpy(numpy(self.detach()).copy())
            return out

        return reading

    def made(*args: Any, **kwargs: Any) -> torch.Tensor:
        out = make(*args, **kwargs)
        if kwargs.get("device") is not None:
            counts.copies += 1
            counts.copied_bytes += out.numel() * out.element_size()
            counts.waits["tensor"] += 1
            counts.mark(out)
        return out

    with (
        patch.object(torch.Tensor, "to", moved),
        patch.object(torch.Tensor, "cpu", read("cpu", cpu)),
        patch.object(torch.Tensor, "tolist", read("tolist", tolist)),
        patch.object(torch.Tensor, "numpy", read("numpy", numpy)),
        patch.object(torch, "tensor", made),
        counts,
    ):
        yield counts
