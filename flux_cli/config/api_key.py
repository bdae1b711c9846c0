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
    hint = "Copy it again from https://piapi.ai/workspace/key; then run"
    if not key:
        raise ConfigError(f"the key from {source} is empty", hint=hint, command=("login",))
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            f"the key from {source} has a character that cannot be part of a key (a space, a line break, a quote?)",
            hint=hint,
            command=("login",),
        )
    return key


@cache
def key_from_command(command: str, source: str) -> str:
    """Return the key that a command prints, without surrounding white space. It runs once per process, without a shell.

    Its stderr and its terminal are the user's: it may ask for a passphrase. Raise ConfigError, which shows neither
    the output nor the arguments, if it fails, takes longer than a minute, or prints something that is not a key.
    """
    import subprocess

    try:
        words = _words(command)
        if not words:
            raise _command_error(source, "is empty")
        done = subprocess.run(  # noqa: S603 - the user's own command, from the user's own settings
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
        output = done.stdout.decode()
    except subprocess.TimeoutExpired:
        raise _command_error(source, f"ran longer than {COMMAND_SECONDS:.0f} s") from None
    except UnicodeDecodeError:
        raise _command_error(source, "printed something that is not text") from None
    except ValueError:  # of shlex
        raise _command_error(source, "has an unclosed quotation mark") from None
    except OSError as error:
        raise _command_error(source, f"cannot be started: {error.strerror}") from None
    if done.returncode:
        raise _command_error(source, f"failed with exit status {done.returncode}")
    return checked_key(output.strip(), f"the command from {source}")


def _command_error(source: str, problem: str) -> ConfigError:
    hint = "Run the command in your shell to see why, or store a key with"
    return ConfigError(f"the command from {source} {problem}", hint=hint, command=("login",))


def _words(command: str) -> list[str]:
    """Return the words of a command, as a shell splits it. On Windows, backslashes are a part of paths."""
    import shlex

    lexer = shlex.shlex(command, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    if os.name == "nt":
        lexer.escape = ""
    return list(lexer)
