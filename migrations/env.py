"""How Alembic reaches the database: through the connection that the caller opened."""

from alembic import context

from service.settings import Settings
from service.store.database import Store
from service.store.models import Base


def run(connection) -> None:
    """Run the migrations in the caller's transaction."""
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:  # the `alembic` command: the database is the one that SANKOFA_* variables name
    settings = Settings.from_environment()
    settings.make_data_dir()
    with Store(settings.database).engine.begin() as opened:
        run(opened)
