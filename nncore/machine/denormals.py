"""Numbers too small to be normal (below 1.2e-38 in float32) are taken for 0 while a plan runs.

What Adam remembers of a dead unit decays to such numbers and stays there, and x86 processors handle them a hundred times slower: a
network with 7 dead units of 32 trained at half its speed, for good. Here the processor is told to flush them, in this thread only and
only as long as a compiled loop runs. Other processors handle them at speed, and nothing is done.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nncore.machine.kernels import INTERPRETED

_X86 = platform.machine().lower() in ("x86_64", "amd64")
_FLUSHING = 0x8040  # of the SSE control word: bit 15 for results, bit 6 for operands


def set_flushing(builder: Any, on: Any) -> None:
    """Append the instructions that switch it; `on`: a bit of the program that is being built."""
    if not _X86:
        return
    tools: Any = cgutils
    word, byte = llvm.IntType(32), llvm.IntType(8)
    slot = tools.alloca_once(builder, word)
    pointer, kind = builder.bitcast(slot, byte.as_pointer()), llvm.FunctionType(llvm.VoidType(), [byte.as_pointer()])
    store, load = (tools.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr") for name in ("st", "ld"))
    builder.call(store, [pointer])
    before = builder.load(slot)
    flushing, keeping = builder.or_(before, word(_FLUSHING)), builder.and_(before, word(~_FLUSHING & 0xFFFFFFFF))
    builder.store(builder.select(on, flushing, keeping), slot)
    builder.call(load, [pointer])


@intrinsic
def _flush_denormals(typing: Any, on: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        set_flushing(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.boolean), generate


flush_denormals: Any = (lambda on: None) if INTERPRETED else _flush_denormals
"""flush_denormals(True) at the start of a compiled loop, flush_denormals(False) at each end of it."""
