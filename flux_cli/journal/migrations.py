"""The schema of the journal: migrations that are applied in order, and never edited once released.

`PRAGMA user_version` is the number of migrations that were applied to a journal.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE entries (
        number    INTEGER PRIMARY KEY AUTOINCREMENT,
        id        TEXT NOT NULL UNIQUE,
        state     TEXT NOT NULL,
        owner     TEXT,             -- the lock file of the process that may change it
        service   TEXT NOT NULL,    -- base URL
        profile   TEXT NOT NULL,
        created   REAL NOT NULL,    -- seconds since the epoch, as all times here
        request   TEXT,             -- canonical JSON; null for a task submitted elsewhere
        digest    TEXT,             -- SHA-256 of the request
        content   TEXT,             -- SHA-256 of the request without its seed and webhook
        price     TEXT,             -- USD expected, decimal
        output    TEXT NOT NULL,    -- where the images go, JSON
        identity  TEXT,             -- recognizes a planned task: its content, its output, its place among equal ones
        any_seed  INTEGER NOT NULL DEFAULT 0, -- 1 when an image of the same content with another seed will do
        task_id   TEXT,
        joined    TEXT,             -- the entry that submitted the task, when this one shares it at no charge
        seen_id   TEXT,             -- a task ID in a response that could not be parsed
        replaces  TEXT,             -- the entry of unknown outcome whose request this one sends again
        status    TEXT,             -- the last status from PiAPI
        urls      TEXT NOT NULL,    -- JSON list
        files     TEXT NOT NULL,    -- JSON list of {path, sha256}
        problem   TEXT,             -- JSON {code, message, exit_code}
        evidence  TEXT,             -- what is known of a submission with an unknown outcome
        submitted REAL,
        accepted  REAL,
        ended     REAL,
        seconds   REAL              -- how long the task took at PiAPI, at a time scale of 1
    ) STRICT
    """,
    "CREATE INDEX entries_state ON entries (state)",
    "CREATE INDEX entries_task ON entries (task_id)",
    "CREATE INDEX entries_digest ON entries (digest)",
    "CREATE INDEX entries_content ON entries (content)",
    "CREATE INDEX entries_identity ON entries (identity)",
    # Covers the sum of a day or a month, price by price, without reading the rows themselves.
    "CREATE INDEX entries_spent ON entries (service, profile, price, state, submitted)",
    # An entry is replaced at most once.
    "CREATE UNIQUE INDEX entries_replaces ON entries (replaces)",
    # A task has at most one entry that submitted it.
    """
    CREATE UNIQUE INDEX entries_own_task ON entries (task_id, service, profile)
    WHERE submitted IS NOT NULL AND joined IS NULL
    """,
    """
    CREATE TABLE uploads (
        sha256  TEXT NOT NULL,      -- of the uploaded bytes
        service TEXT NOT NULL,      -- base URL
        profile TEXT NOT NULL,
        url     TEXT NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (sha256, service, profile)
    ) STRICT
    """,
    # Finds the URL of a saved image, by its content, while PiAPI still hosts it.
    """
    CREATE TABLE saved_files (
        sha256 TEXT NOT NULL,
        entry  INTEGER NOT NULL,    -- its number
        place  INTEGER NOT NULL,    -- its index among the files and URLs of the entry
        PRIMARY KEY (sha256, entry, place)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TRIGGER entries_saved AFTER UPDATE OF files ON entries BEGIN
        INSERT OR IGNORE INTO saved_files
        SELECT json_extract(value, '$.sha256'), NEW.number, key FROM json_each(NEW.files);
    END
    """,
)


def migrate(db: "sqlite3.Connection") -> None:
    """Apply the missing migrations to a journal, all or none. Raise sqlite3.Error."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        # Read under the lock, because another process may have migrated meanwhile.
        done = version_of(db)
        for number, statement in enumerate(MIGRATIONS[done:], done + 1):
            db.execute(statement)
            db.execute(f"PRAGMA user_version={number}")


def version_of(db: "sqlite3.Connection") -> int:
    """Return the number of migrations that were applied to a journal. Raise sqlite3.Error."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version
