"""A model card as Markdown, in the sections of Mitchell et al., Model Cards for Model Reporting (2019).

Whatever comes from users is text: no name can end a table's cell or a line, make a link, or be taken for HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

MOST_ROWS = 50  # of a table; what was left out is counted
MOST_CLASSES = 50
MOST_ALIKE = 10  # inputs of one kind that are listed one by one
ROUNDING = 1e-9  # a change smaller than this is none

# The @ of MODEL@VERSION makes no address and no mention.
_MARKUP = re.compile(r"[&<>|\\`*\[\]~$^{}]|(?<![A-Za-z0-9])@|@(?!\d+(?![\w.-]))|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.")
_LEADING = re.compile(r"^(\d*)([-+=#.)])")


def text(value: Any) -> str:
    """What somebody wrote, as text within a line: on one line, with every mark of Markdown or HTML as a character that is none."""
    line = "".join(character if character.isprintable() else " " for character in str(value)).strip()
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", line)


def beginning(value: Any) -> str:
    """The same where a line begins: it makes no heading and no list."""
    return _LEADING.sub(lambda found: f"{found[1]}&#{ord(found[2])};", text(value))


def markdown(card: Mapping[str, Any]) -> str:
    """The card."""
    sections = (_details, _use, _factors, _metrics, _evaluation_data, _training_data, _analyses, _ethics, _caveats)
    lines = [f"# Model card: {text(card['title'])}", ""]
    for section in sections:
        lines += [*section(card), ""]
    return "\n".join(lines).rstrip() + "\n"


def _details(card: Mapping[str, Any]) -> Iterator[str]:
    network, training = card["network"], card["training"]
    signature = network["signature"]
    yield "## Model details"
    yield ""
    yield from _list(
        ("Version", None if network["model"] is None else f"{network['model']}@{network['version']}"),
        ("Aliases", ", ".join(network["aliases"]) or None),
        ("Job", network["job"]),
        ("Step, epoch", None if network["step"] is None else f"{network['step']:,}, {network['epoch']:,}"),
        ("Digest", network["digest"]),
        ("Layers", _layers(network["definition"]["layers"])),
        ("Parameters", f"{signature['parameters']:,}"),
        ("Numbers", signature["dtype"]),
        ("Answers", _answers(signature)),
        ("Preprocessing", ", ".join(step["type"] for step in network["preprocessing"]) or "none"),
        ("Preprocessing of the target", network["target_preprocessing"]),
    )
    yield ""
    yield from _inputs(signature["inputs"])
    if network["imported"] is not None:
        imported = network["imported"]
        told = "itself" if imported["described"] else "by a definition that was sent with it"
        yield ""
        called = text(imported["file"] or "without a name")
        yield f"Imported from the {imported['format']} file {called}, {text(imported['digest'])}; what it is was told {told}."
    if training is not None:
        yield from ("", "### Training", "")
        yield from _list(
            ("State", training["state"]),
            ("Ended because", training["ended_because"]),
            ("Optimizer", _said(training["optimizer"])),
            ("Loss", _said(training["loss"])),
            ("Epochs", f"{training['epochs']:,} of {training['epochs_asked']:,}"),
            ("Steps", f"{training['steps']:,}, batches of {training['batch_size']:,}"),
            ("Seconds", f"{training['seconds']:g}"),
            ("Seed", training["seed"]),
            ("Augmentation", ", ".join(each["type"] for each in training["augment"]) or None),
            ("Begun", training["started_at"]),
            ("Ended", training["finished_at"]),
        )
    if card["environment"] is not None:
        yield from ("", "### Environment", "")
        yield from _list(*((name, ", ".join(part) if isinstance(part, list) else part) for name, part in card["environment"].items()))
    if card["lineage"]:
        yield from ("", "### Lineage", "")
        for each in card["lineage"]:
            of = each["job"] or f"{each['model']}@{each['version']}"
            at = "" if each["step"] is None else f", step {each['step']:,}"
            how = "the same run, bit for bit" if each["continues"] == "exactly" else "its parameters"
            kept = {"kept": ", preprocessing kept", "fitted": ", preprocessing fitted anew"}.get(each["preprocessing"] or "", "")
            yield f"- goes on from {text(of)}{at}: {how}{kept}; data {text(each['dataset_digest'] or 'not known')}"


def _inputs(inputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table; of many that are alike, a line."""
    kinds = {_items(each["item_shape"]) for each in inputs}
    if len(inputs) > MOST_ALIKE and len(kinds) == 1:
        named = ", ".join(text(each["name"]) for each in inputs[:MOST_ALIKE])
        yield f"{len(inputs):,} inputs, each {kinds.pop()}: {named}, ... {text(inputs[-1]['name'])}."
        return
    yield from _table(("Input", "Items"), ((each["name"], _items(each["item_shape"])) for each in inputs[:MOST_ROWS]), len(inputs))


def _use(card: Mapping[str, Any]) -> Iterator[str]:
    use = card["use"]
    yield "## Intended use"
    yield ""
    yield from _quoted(use["model_description"]) if use["model_description"] else ["Not said."]
    if use["version_description"]:
        yield from ("", "Of this version:", "", *_quoted(use["version_description"]))
    if use["tags"]:
        yield ""
        yield from _list(*use["tags"].items())


def _factors(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Factors"
    yield ""
    data = card["data"]
    group = None if data is None else data["split"]["group"]
    classes = card["network"]["signature"]["classes"]
    yield f"Groups: {'none are named' if group is None else text(group)}."
    if classes is not None:
        more = f", and {len(classes) - MOST_CLASSES:,} more" if len(classes) > MOST_CLASSES else ""
        yield f"Classes: {', '.join(text(each) for each in classes[:MOST_CLASSES])}{more}."


def _metrics(card: Mapping[str, Any]) -> Iterator[str]:
    score = card["score"]
    yield "## Metrics"
    yield ""
    if score is None:
        yield "Not known."
        return
    test, baseline = score["test"] or {}, score["baseline"] or {}
    rows = [("loss of training", score["loss"], None, None), ("loss", score["validation_loss"], test.get("loss"), baseline.get("loss"))]
    for name in dict.fromkeys([*score["metrics"], *(test.get("metrics") or {}), *(baseline.get("metrics") or {})]):
        found = [each.get(name) for each in (score["metrics"], test.get("metrics") or {}, baseline.get("metrics") or {})]
        rows.append((name, *found))
    judged = "Validation" if card["data"] is None or card["data"]["split"]["validation_rows"] else "Training"
    told = [(name, *(_number(value) for value in found)) for name, *found in rows]
    yield from _table(("Metric", judged, "Test", "Trivial answer"), told, len(told))
    if baseline:
        predicts = baseline["predicts"]
        said = predicts if isinstance(predicts, str) else ", ".join(_number(value) for value in predicts[:10])
        yield from ("", f"The trivial answer is {text(said)}, whatever goes in.")


def _evaluation_data(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Evaluation data"
    yield ""
    if card["data"] is None:
        yield "Not known."
        return
    split = card["data"]["split"]
    yield f"{split['validation_rows']:,} rows held out for validation, {split['test_rows']:,} kept for a test, of the same dataset."
    if split["group"] is not None:
        yield f"All rows of one {text(split['group'])} fall on one side."
    if split["split_column"] is not None:
        yield f"The column {text(split['split_column'])} says which."


def _training_data(card: Mapping[str, Any]) -> Iterator[str]:
    data = card["data"]
    yield "## Training data"
    yield ""
    if data is None:
        yield "Not known."
        return
    yield from _list(
        ("Dataset", data["dataset"]),
        ("Name", data["name"]),
        ("Digest", data["digest"]),
        ("Rows", f"{data['rows']:,}, of which {data['split']['training_rows']:,} were trained on"),
    )
    yield ""
    columns = data["columns"]
    rows = ((each["name"], each["dtype"], _held(each), f"{each.get('missing') or 0:,}") for each in columns[:MOST_ROWS])
    yield from _table(("Column", "Type", "Holds", "Missing"), rows, len(columns))


def _analyses(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Quantitative analyses"
    assessment = None if card["score"] is None else card["score"]["assessment"]
    if assessment is None:
        yield from ("", "Not known.")
        return
    for part in assessment["parts"]:
        yield from ("", f"### {part['of'].capitalize()}, {part['score']['rows']:,} rows")
        per_class = part["score"]["tables"].get("per_class")
        if per_class:
            yield ""
            yield from _per_class(per_class, card["network"]["signature"]["classes"] or [])
        if part["groups"]:
            names = list(part["groups"][0]["score"]["metrics"])
            rows = [
                (each["value"], f"{each['score']['rows']:,}", *(_number(each["score"]["metrics"].get(name)) for name in names))
                for each in part["groups"]
            ]
            yield ""
            yield from _table(("Group", "Rows", *names), rows, len(rows) + part["groups_left_out"])
    influences = assessment["influences"]
    yield from ("", f"### Which inputs decide, on {assessment['dealt_rows']:,} rows", "")
    rows = [
        (
            each["column"] if each["feature"] is None else f"{each['column']}[{each['feature']}]",
            *map(_change, (each["loss_rise"], each["metric_drop"])),
        )
        for each in influences[:MOST_ROWS]
    ]
    header = ("Input", "Rise of the loss when it is dealt to other rows", f"Fall of {assessment['metric']}")
    yield from _table(header, rows, len(influences) + assessment["influences_left_out"])


def _per_class(per_class: Any, classes: Sequence[str]) -> Iterator[str]:
    """Numbers by class, whatever they are called."""
    columns = {name: values for name, values in per_class.items() if isinstance(values, list)} if isinstance(per_class, dict) else {}
    count = max(map(len, columns.values()), default=0)
    names = [classes[at] if at < len(classes) else str(at) for at in range(count)]
    rows = [(names[at], *(_number(values[at]) for values in columns.values())) for at in range(min(count, MOST_ROWS))]
    yield from _table(("Class", *columns), rows, count)


def _ethics(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Ethical considerations"
    yield ""
    yield "None are recorded: whether an answer may decide about a person is for those who use it to judge."


def _caveats(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Caveats and recommendations"
    yield ""
    found = card["limits"]
    for each in found or ():
        yield f"- {text(each['severity'])}: {text(each['message'])}; {text(each['remedy'])}."
    if found == []:
        yield "- Nothing was found wrong with the data."
    for each in card["unknown"]:
        yield f"- Not known. {text(each)}"


def _list(*pairs: tuple[str, Any]) -> Iterator[str]:
    """A list of what is known."""
    for name, value in pairs:
        if value is not None:
            yield f"- {beginning(name)}: {text(value)}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]], count: int) -> Iterator[str]:
    """count: of all rows there are."""
    yield f"| {' | '.join(text(each) for each in header)} |"
    yield f"|{' --- |' * len(header)}"
    shown = 0
    for row in rows:
        shown += 1
        yield f"| {' | '.join(text(each) for each in row)} |"
    if shown < count:
        yield from ("", f"And {count - shown:,} more.")


def _quoted(words: str) -> Iterator[str]:
    """What somebody wrote, line by line."""
    for line in words.splitlines():
        yield f"> {beginning(line)}".rstrip()


def _said(part: Mapping[str, Any]) -> str:
    """A part of a spec: its type, and what is set of it."""
    told = [
        f"{name} {value}" for name, value in part.items() if name != "type" and value is not None and not isinstance(value, dict | list)
    ]
    return f"{part['type']}{', ' if told else ''}{', '.join(told)}"


def _layers(layers: Sequence[Mapping[str, Any]]) -> str:
    told = [
        " ".join(str(layer[name]) for name in ("type", "units", "filters", "activation") if layer.get(name) is not None) for layer in layers
    ]
    more = f", and {len(told) - MOST_ROWS:,} more" if len(told) > MOST_ROWS else ""
    return ", ".join(told[:MOST_ROWS]) + more


def _answers(signature: Mapping[str, Any]) -> str:
    if signature["classes"] is not None:
        return f"which of {len(signature['classes']):,} classes {signature['target']} is"
    return f"{signature['target']}, {signature['outputs']:,} number{'' if signature['outputs'] == 1 else 's'}"


def _items(shape: Sequence[int] | None) -> str:
    return "text" if shape is None else " x ".join(map(str, shape)) if shape else "a number"


def _held(column: Mapping[str, Any]) -> str:
    if column.get("categories") is not None:
        return f"{len(column['categories']):,} different texts"
    return f"{_number(column.get('minimum'))} to {_number(column.get('maximum'))}"


def _change(value: float | None) -> str:
    return _number(0 if value is not None and abs(value) < ROUNDING else value)


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, int | float) else str(value)
