"""The next task is found by one index, in the order in which tasks are asked, without sorting those that are left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Replaces the two indexes."""
    op.drop_index("tasks_taken", table_name="tasks")
    op.drop_index("tasks_next", table_name="tasks")
    op.create_index("tasks_next", "tasks", ["gold", sa.text("priority DESC"), "place", "id", "taken"], unique=False)
