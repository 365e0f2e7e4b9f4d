"""A test whose service is missing is skipped with the reason; where SANKOFA_TEST_STRICT says so, it fails instead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WANTS_REDIS = "tests/service/test_queue.py::TestOnEveryBroker::test_a_wake_says_when_it_is_too_old[redis]"
WANTS_POSTGRES = "tests/test_architecture.py::test_there_is_one_newest_migration[postgres]"


def run(test, strict):
    """The exit code and what pytest wrote, with services looked for where none is."""
    nowhere = {"SANKOFA_TEST_REDIS": "redis://127.0.0.1:9/0", "SANKOFA_TEST_POSTGRES": "postgresql+psycopg://root@127.0.0.1:9/postgres"}
    environment = {**os.environ, **nowhere, "SANKOFA_TEST_STRICT": strict}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", test]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return answer.returncode, answer.stdout


@pytest.mark.parametrize(("test", "reason"), [(WANTS_REDIS, "no Redis"), (WANTS_POSTGRES, "no Postgres")])
def test_a_missing_service_skips_or_fails(test, reason):
    code, told = run(test, strict="0")
    assert (code, f": {reason}" in told) == (0, True)
    code, told = run(test, strict="1")
    assert (code, f"this test must not be skipped ({reason})" in told) == (1, True)


def test_a_missing_package_skips_or_fails(tmp_path):
    """Also where the whole file is skipped, before there is a test."""
    wants_package = tmp_path / "test_wants_package.py"
    wants_package.write_text("import pytest\n\npytest.importorskip('sankofa_of_nowhere')\n\n\ndef test_nothing():\n    pass\n")
    arguments = [str(wants_package), "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest"]
    for strict, expected in (("0", 5), ("1", 2)):  # 5: no test was found, 2: collecting failed
        environment = {**os.environ, "SANKOFA_TEST_STRICT": strict}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert answer.returncode == expected, answer.stdout + answer.stderr
