"""A standalone script: one file of Python, with the weights in it, that computes what the network does with numpy alone.

It is to be read: the forward pass is spelled out line by line, with the functions it calls (and no others) above it. `predict(inputs)`
answers as the service does; run on a CSV or JSON file, the script prints JSON. Written, never read: we run no code that came from outside.

script.py                    lines, arrays, and the source of what they call
layers.py, preprocessing.py  a rule for each layer; the fitted steps
reading.py, features.py, activations.py, computations.py   the functions whose source is written out
"""

from __future__ import annotations

from math import prod

import numpy as np

from nncore.artifact import Artifact
from nncore.formats.parameters import Parameters
from nncore.formats.python.layers import RULES, through
from nncore.formats.python.preprocessing import preprocessed
from nncore.formats.python.script import DECODE, Script, names_in, sources
from nncore.preprocess.target import fitted_target

DOCUMENT = '''"""A trained neural network, in numpy: nothing else is needed.

    python THIS_FILE rows.csv     a table whose first line names its columns, those of INPUTS among them
    python THIS_FILE rows.json    {"column": [value of row 1, of row 2, ...], ...}, or a list of rows
    python THIS_FILE -            the same JSON from standard input

prints what predict answers, as JSON. `forward` is the network itself; the arrays at the end are what it has learned.

Written by Sankofa.
"""
'''

FORWARD = '''
def forward(x):
    """The outputs of the network, before any softmax or sigmoid of the loss. x: (rows, {numbers}){raw}."""
    {lines}
    return x
'''

PREDICT = '''
def predict(inputs):
    """{answers}: arrays by name, one row for each row of `inputs`.

    inputs: columns by name (INPUTS), or an array (or lists) of rows. {rows} rows at a time go through the network.
    """
    x = {prepared}
    outputs = np.concatenate([forward(x[i : i + {rows}]).reshape(-1, {outputs}) for i in range(0, len(x), {rows})])
    {answer}
'''

MAIN = """

if __name__ == "__main__":
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        sys.exit()
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        answers = predict(read_file(sys.argv[1], INPUTS, TEXTS))
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    print(json.dumps({name: values.tolist() for name, values in answers.items()}))
"""

ROWS_AT_ONCE = 256
MODULES = ("base64", "csv", "json", "math", "re", "sys")  # of Python, that functions may need


def write(artifact: Artifact) -> bytes:
    """The script, in ASCII."""
    script = Script(Parameters(artifact))
    prepared, prepare = preprocessed(script, artifact)
    through(script, artifact.network.layers, artifact.input_shape)
    script.parameters.finish()
    numbers, outputs = prod(artifact.input_shape), prod(artifact.network.output_shape(artifact.input_shape))
    answers, answer = _answer(script, artifact, outputs)
    forward = FORWARD.format(numbers=numbers, raw="" if prepare else ", raw", lines="\n    ".join(script.lines))
    predict = PREDICT.format(answers=answers, answer=answer, rows=ROWS_AT_ONCE, prepared=prepared, outputs=outputs)
    arrays = list(script.arrays())
    decode = DECODE if any(DECODE in line[:200] for line in arrays) else ""
    functions = "\n\n\n".join(sources(f"{prepare}{forward}{predict}{MAIN}{decode}"))
    classes = [] if artifact.classes is None else [f"CLASSES = {list(artifact.classes)!a}"]
    code = "\n\n\n".join(part.strip("\n") for part in (functions, prepare, forward, predict) if part) + "\n\n"
    used = names_in(f"{code}{MAIN}")
    head = [DOCUMENT, "from __future__ import annotations\n", *(f"import {name}" for name in MODULES if name in used)]
    texts = [name for name, shape in zip(artifact.input_names, artifact.item_shapes, strict=True) if shape is None]
    names = [f"INPUTS = {list(artifact.input_names)!a}", f"TEXTS = {texts!a}  # those of INPUTS that hold text"]
    constants = ["\nimport numpy as np\n", *names, *classes, "ARRAYS = {}\n\n"]
    return "\n".join([*head, *constants, code, *arrays, MAIN]).encode("ascii")


def _answer(script: Script, artifact: Artifact, outputs: int) -> tuple[str, str]:
    """What predict answers, and its last line."""
    classes = artifact.classes
    if artifact.loss in ("softmax_cross_entropy", "negative_log_likelihood"):
        labels, probabilities = "outputs.argmax(axis=1)", "softmax(outputs)"
    elif artifact.loss == "binary_cross_entropy":
        logits = "outputs[:, 0]" if outputs == 1 else "outputs"
        labels, probabilities = f"({logits} > 0).astype(int)", f"sigmoid({logits})"
    else:
        return "outputs", f'return {{"outputs": {_undone(script, artifact)}}}'
    if classes is not None and list(classes) != [str(number) for number in range(len(classes))]:
        labels = f"np.array(CLASSES)[{labels}]"
    answer = f'return {{"outputs": outputs, "probabilities": {probabilities}, "labels": {labels}}}'
    return "outputs, probabilities and labels", answer


def _undone(script: Script, artifact: Artifact) -> str:
    """The outputs in the unit of the target."""
    scaling = fitted_target(artifact.target_preprocessing)
    if scaling is None:
        return "outputs"
    scale, offset = (script.array(f"target.{key}", np.array(getattr(scaling, key), dtype=np.float64)) for key in ("scale", "offset"))
    return f'(outputs.astype("float64") * {scale} + {offset}).astype("{artifact.dtype}")'


__all__ = ["RULES", "write"]
