"""A second device for machines that have none: its tensors refuse to meet those of the CPU.

The numbers are the CPU's own, so that what a helper computes there can be compared. It is called
``meta``, the one device beside the CPU for which torch runs backward passes without hardware.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

ELSEWHERE = torch.device("meta")
FREE = {"_to_copy", "copy_", "index", "index_put_"}  # torch lets these take tensors of two devices


class There(torch.Tensor):
    """A tensor that lies elsewhere; `held` holds its numbers."""

    @staticmethod
    def __new__(cls, real):
        return torch.Tensor._make_wrapper_subclass(
            cls, real.shape, dtype=real.dtype, device=ELSEWHERE, strides=real.stride()
        )

    def __init__(self, real):
        self.held = real

    def __repr__(self):
        return f"There({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """A block in which tensors can be sent to, and made on, the pretended device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _run(function, args, kwargs):
    """Compute on the CPU; refuse tensors of two devices; place the result where its sources lie."""
    tensors = [
        value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)
    ]
    there = any(isinstance(value, There) for value in tensors)
    name = function.overloadpacket.__name__
    rows = {isinstance(value, There) for value in tensors if value.ndim}
    met = len(rows) > 1 or (
        there and rows == {False}
    )  # a single number of the CPU may come along, none may come from elsewhere
    if met and name not in FREE:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {name} met meta and cpu"
        )
    sent = kwargs.get("device")
    target = there if sent is None else torch.device(sent) == ELSEWHERE
    if name in ("copy_", "index", "index_put_"):
        target = isinstance(args[0], There)
    real = {**kwargs, "device": torch.device("cpu")} if sent is not None else kwargs
    found = function(*tree_map_only(There, _real, args), **tree_map_only(There, _real, real))
    if target:
        found = tree_map_only(torch.Tensor, There, found)
    return return_and_correct_aliasing(function, args, kwargs, found) if there and target else found


def _real(tensor):
    return tensor.held
