"""The steps from one layout of the store to the next (Alembic); a store is brought up to date when it is opened."""
