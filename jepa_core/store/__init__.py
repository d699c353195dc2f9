"""The store of results, one SQLite file, and what goes in and out of it. The only place with SQL."""
