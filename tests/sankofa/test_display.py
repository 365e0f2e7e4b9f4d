"""Steps and bars, with a terminal and without."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from sankofa.display import Bar, Steps


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=100, highlight=False), file


def test_steps_are_numbered_lines_with_seconds() -> None:
    shown, file = console(terminal=False)
    steps = Steps(2, shown)
    with steps.step("boil water") as step:
        step.note = "[hot]"
    with pytest.raises(ZeroDivisionError), steps.step("drink"):
        raise ZeroDivisionError
    lines = file.getvalue().splitlines()
    assert re.fullmatch(r" 1/2  boil water {26} {3}0\.\d\d s   \[hot\]", lines[0])
    assert re.fullmatch(r" 2/2  drink: not done, after 0\.\d s", lines[1])
    assert [step["step"] for step in steps.done] == ["boil water"]


def test_a_note_that_does_not_fit_stands_on_a_line_of_its_own() -> None:
    for terminal, below in ((True, True), (False, False)):
        shown, file = console(terminal)
        with Steps(1, shown, live=False).step("boil water") as step:
            step.note = "long " * 16
        assert ("\n         long" in file.getvalue()) == below
        assert len(file.getvalue().splitlines()) == 1 + below


def test_steps_without_a_console_say_nothing_and_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(1, None)
    with steps.step("boil water") as step:
        step.bar.show(0.5, "half", urgent=True)
    assert capsys.readouterr() == ("", "")
    assert steps.done[0]["step"] == "boil water"


def test_without_a_terminal_only_what_is_urgent_or_late_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, file = console(terminal=False)
    now = 0.0
    monkeypatch.setattr("sankofa.display.time.monotonic", lambda: now)
    with Bar(shown, "training") as bar:
        bar.show(0.1, "soon")
        bar.show(0.2, "urgent", urgent=True)
        now = 10.0
        bar.show(0.3, "late")
        bar.show(0.4, "too soon again")
    assert file.getvalue() == "     training:  20%  urgent\n     training:  30%  late\n"


def test_in_a_terminal_a_bar_comes_and_goes() -> None:
    shown, file = console(terminal=True)
    with Bar(shown, "training") as bar:
        bar.show(0.5, "epoch 5/10 [loss]")
    assert "epoch 5/10 [loss]" in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K"), "its line is wiped"


LONG_TEXT = "epoch 60/60  loss 4.50e-04  validation 0.0826  accuracy 0.9833"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_bar_fits_into_one_line(width: int) -> None:
    file = io.StringIO()
    shown = Console(file=file, force_terminal=True, width=width, highlight=False)
    with Bar(shown, "running") as bar:
        for text in ("next in the queue", LONG_TEXT, LONG_TEXT + "  recall 0.9"):
            bar.show(1.0, text)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", file.getvalue())) if line.strip()]
    assert max(map(len, lines)) < width
    assert any(line.endswith(LONG_TEXT) for line in lines) == (width >= 80), "in 80 columns it is whole"
    assert any("running" in line and line.endswith(LONG_TEXT) for line in lines) == (width >= 100)
    assert all("━━━━━ 100%" in line for line in lines), "a bar is left"


def test_in_a_terminal_a_step_is_shown_while_it_is_done() -> None:
    shown, file = console(terminal=True)
    with Steps(1, shown).step("boil water"):
        assert file.getvalue() == " 1/1  boil water ...\r"
    quiet, quiet_file = console(terminal=True)
    with Steps(1, quiet, live=False).step("boil water"):
        assert quiet_file.getvalue() == ""
