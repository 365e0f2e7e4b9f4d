"""What runs a network: the plan (rows of kernel and integers over one flat arena) and the compiled loop that runs its steps.

    plan.py         layers are lowered into it: rows, and places in the regions of the arena
    kernels.py      the decorator of kernels, and the rules they keep
    exponential.py  e^x and tanh(x), vectorised
    run.py          the compiled loops: run_steps (training) and run_blocks (evaluation)
    denormals.py    numbers too small to be normal are taken for 0
    program.py      a network lowered: its two plans and the layout they share
    machine.py      a program in memory, ready to be run
    cache.py        where compiled kernels are kept
    compilation.py  warm: compile or load kernels ahead of their use

Start reading at plan.py; then layers/dense.py shows how a layer is lowered.
"""

from nncore.machine.compilation import compiled, warm

__all__ = ["compiled", "warm"]
