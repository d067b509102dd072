//! Postgres: every SQL statement of the project.
