"""The webhook secret. PiAPI sends it with each webhook, as proof of the sender."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import UsageError
from ..json_value import JsonObject, object_at
from ..text import clean

VARIABLE = "FLUX_WEBHOOK_SECRET"


def read_secret(environ: Mapping[str, str], path: str | None) -> str | None:
    """Return the secret in the file at `path`, or from the environment if `path` is None; None if there is none.

    Raise UsageError for an unreadable file, and for a secret that is empty or invalid in an HTTP header. With an empty
    one, every webhook would be accepted.
    """
    if path is None:
        secret, source = environ.get(VARIABLE), VARIABLE
        if not secret:
            return None
    else:
        source = clean(path, 120)
        try:
            secret = Path(path).expanduser().read_text("utf-8-sig")
        except OSError as error:
            raise UsageError(f"cannot read the webhook secret from {source}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"cannot read the webhook secret: {source} is not a text file") from error
    secret = secret.strip()
    if not secret:
        raise UsageError(f"the webhook secret in {source} is empty")
    if not (secret.isascii() and secret.isprintable()):
        raise UsageError(f"the webhook secret in {source} is not one line of printable ASCII")
    return secret


def add_secret(body: JsonObject, own: str | None, secret: Callable[[], str | None]) -> JsonObject:
    """Return the body of a create request, with the webhook secret added if its webhook is the command's `own`.

    own: the webhook from an option, a variable or a setting. Any other webhook, from a row of a batch file, an override
    or a stored request, may belong to somebody else, and gets no secret.
    """
    webhook = object_at(body, "config", "webhook_config")
    if own is None or webhook.get("endpoint") != own:
        return body
    text = secret()
    return (
        {**body, "config": {**object_at(body, "config"), "webhook_config": {**webhook, "secret": text}}}
        if text
        else body
    )
