"""The API key: what one looks like, and the command that prints it.

The first of these that is set is used:

1. `PIAPI_API_KEY` in the environment
2. the output of the command in `FLUX_API_KEY_COMMAND`
3. `api_key` in the profile (stored by `flux login`)
4. the output of the command in `api_key_command` in the profile: `"pass show piapi"`, or a list of words
"""

import os
from functools import cache

from ..errors import ConfigError

COMMAND_SECONDS = 60.0
"""A command may ask for a passphrase or a fingerprint."""


def checked_key(text: str, source: str) -> str:
    """Return a key that can be sent in a header: printable ASCII without spaces. One trailing newline is removed.

    Raise ConfigError, which never shows the key.
    """
    key = text.removesuffix("\n").removesuffix("\r")
    hint = "copy it again from https://piapi.ai/workspace/key; then run: flux login"
    if not key:
        raise ConfigError(f"the key from {source} is empty", hint=hint)
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            f"the key from {source} has a character that cannot be part of a key (a space, a line break, a quote?)",
            hint=hint,
        )
    return key


@cache
def key_from_command(command: str, source: str) -> str:
    """Return the key that a command prints, without surrounding white space. It runs once per process, without a shell.

    Its stderr and its terminal are the user's: it may ask for a passphrase. Raise ConfigError, which shows neither
    the output nor the arguments, if it fails, takes longer than a minute, or prints something that is not a key.
    """
    import subprocess

    hint = "run the command in your shell to see why, or store a key with: flux login"
    try:
        words = _words(command)
        if not words:
            raise ConfigError(f"the command from {source} is empty", hint=hint)
        done = subprocess.run(  # noqa: S603 - the user's own command, from the user's own settings
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
        output = done.stdout.decode()
    except subprocess.TimeoutExpired:
        raise ConfigError(f"the command from {source} ran longer than {COMMAND_SECONDS:.0f} s", hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"the command from {source} printed something that is not text", hint=hint) from None
    except ValueError:  # of shlex
        raise ConfigError(f"the command from {source} has an unclosed quotation mark", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"the command from {source} cannot be started: {error.strerror}", hint=hint) from None
    if done.returncode:
        raise ConfigError(f"the command from {source} failed with exit status {done.returncode}", hint=hint)
    return checked_key(output.strip(), f"the command from {source}")


def _words(command: str) -> list[str]:
    """Return the words of a command, as a shell splits it. On Windows, backslashes are a part of paths."""
    import shlex

    lexer = shlex.shlex(command, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    if os.name == "nt":
        lexer.escape = ""
    return list(lexer)
