"""The journal's schema: migrations, applied in order, never edited once released.

`PRAGMA user_version` counts how many a file has had.
"""

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
        request   TEXT,             -- canonical JSON; null for a task from elsewhere
        digest    TEXT,             -- SHA-256 of the request
        price     TEXT,             -- USD expected, decimal
        output    TEXT NOT NULL,    -- where the pictures go, JSON
        task_id   TEXT,
        status    TEXT,             -- the service's last word
        urls      TEXT NOT NULL,    -- JSON list
        files     TEXT NOT NULL,    -- JSON list of {path, sha256}
        problem   TEXT,             -- JSON {code, message, exit_code}
        evidence  TEXT,             -- of an unknown submission: what is known
        submitted REAL,
        accepted  REAL,
        ended     REAL
    ) STRICT
    """,
    "CREATE INDEX entries_state ON entries (state)",
    "CREATE INDEX entries_task ON entries (task_id)",
    "CREATE INDEX entries_digest ON entries (digest)",
    """
    CREATE TABLE uploads (
        sha256  TEXT NOT NULL,      -- of the uploaded bytes
        service TEXT NOT NULL,      -- base URL of the upload service
        profile TEXT NOT NULL,
        url     TEXT NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (sha256, service, profile)
    ) STRICT
    """,
    # What a row of a batch asked for, its output and its place among equal rows: how it is known when it is run again.
    "ALTER TABLE entries ADD COLUMN row TEXT",
    "CREATE INDEX entries_row ON entries (row)",
    # What a day or a month cost, price by price, without a look at the rows themselves.
    "CREATE INDEX entries_spent ON entries (service, profile, price, state, submitted)",
    # What the task took at the service, in seconds at a time scale of 1: looks at the next ones are timed by it.
    "ALTER TABLE entries ADD COLUMN seconds REAL",
    # A task id in an answer that could not be read.
    "ALTER TABLE entries ADD COLUMN seen_id TEXT",
    # The entry with a lost answer that this one sends once more: never more than one does.
    "ALTER TABLE entries ADD COLUMN replaces TEXT",
    "CREATE UNIQUE INDEX entries_replaces ON entries (replaces)",
)
