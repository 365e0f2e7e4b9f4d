"""What runs a network: the plan (rows of kernel and integers over one flat arena) and the compiled loop that runs its steps.

plan.py         layers are lowered into it: rows, and places in the regions of the arena
kernels.py      the decorator of kernels, and what kernels share: view, exponential, tangent
run.py          the compiled loops: run_steps (training) and run_blocks (evaluation)
program.py      a network lowered and placed in memory, ready to be run
cache.py        where compiled kernels are kept
compilation.py  warm: compile or load kernels ahead of their use
"""

from nncore.machine.compilation import compiled, warm

__all__ = ["compiled", "warm"]
