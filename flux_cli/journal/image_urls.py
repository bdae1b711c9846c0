"""The URLs at which PiAPI has images that the journal knows by their content: its own results, and uploads."""

from .database import OWN, Database
from .entries import Account


class ImageURLs:
    """The URLs that one account may use. Every method raises JournalError."""

    def __init__(self, db: Database, account: Account) -> None:
        self._db, self._account = db, (account.service, account.profile)

    def find_result(self, sha256: str, since: float) -> str | None:
        """Return where PiAPI hosts an image that was saved here with this content, of a task that ended `since`."""
        sql = f"""
            SELECT json_extract(urls, '$[' || place || ']') FROM saved_files JOIN entries ON number = entry
            WHERE sha256 = ? AND {OWN} AND ended >= ? ORDER BY number DESC
        """
        urls = self._db.read(lambda row: row[0], sql, (sha256, *self._account, since))
        return next((str(url) for url in urls if url), None)

    def find_upload(self, sha256: str, *, alive_until: float) -> str | None:
        """Return the URL of uploaded content that is kept until then at least."""
        sql = f"SELECT url FROM uploads WHERE sha256 = ? AND {OWN} AND expires >= ?"
        urls = self._db.read(lambda row: str(row["url"]), sql, (sha256, *self._account, alive_until))
        return urls[0] if urls else None

    def remember_upload(self, sha256: str, url: str, *, expires: float) -> None:
        """Record the URL of uploaded content, and when it expires (seconds since the epoch)."""
        self._db.write(
            "INSERT OR REPLACE INTO uploads (sha256, service, profile, url, expires) VALUES (?, ?, ?, ?, ?)",
            (sha256, *self._account, url, expires),
        )
