"""Who may import whom, and that the migrations make the very tables the models declare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command

from service.store import migrate

ROOT = Path(__file__).parents[1]


def loaded_by(module: str, environment: dict[str, str]) -> set[str]:
    """The top-level modules and packages that importing `module` in a fresh process loads."""
    program = f"import sys, {module}; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return {name.partition(".")[0] for name in answer.stdout.split()}


def test_the_import_contracts_hold():
    program = (
        "import sys; from importlinter.cli import lint_imports_command; sys.argv = ['lint-imports', '--no-cache']; lint_imports_command()"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr
    assert "0 broken" in answer.stdout


@pytest.mark.parametrize("module", ["worker.tasks", "worker.reaper", "service.store.jobs", "service.settings", "service.queue"])
def test_what_works_on_jobs_loads_no_web_framework(module, tmp_path):
    loaded = loaded_by(module, {"SANKOFA_DATA_DIR": str(tmp_path)})
    assert "service" in loaded
    assert not {"flask", "flask_openapi", "werkzeug", "jinja2"} & loaded


def test_the_mathematics_loads_no_service(tmp_path):
    loaded = loaded_by("nncore.trainer", {"HOME": str(tmp_path)})
    assert "nncore" in loaded
    assert not {"service", "worker", "sankofa", "flask", "celery", "sqlalchemy", "redis"} & loaded


def test_the_client_loads_no_service_and_no_mathematics():
    loaded = loaded_by("sankofa.client", {})
    assert "sankofa" in loaded
    assert not {"nncore", "service", "worker", "flask", "celery", "sqlalchemy", "numba"} & loaded


def test_the_migrations_make_what_the_models_declare(store):
    """`alembic check`, on SQLite and on Postgres: nothing is left for a new migration."""
    with store.engine.begin() as connection:
        command.check(migrate.alembic_config(connection))


def test_there_is_one_newest_migration(store):
    assert len(migrate.newest_revisions()) == 1
    assert migrate.is_current(store)
