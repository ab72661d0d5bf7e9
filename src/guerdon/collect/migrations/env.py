"""What Alembic runs: the steps on the connection that `guerdon.collect.store` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from guerdon.collect.store_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
