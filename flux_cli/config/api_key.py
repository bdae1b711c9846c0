"""The API key: its sources, its format, and the command that prints it.

The first of these that is set is used:

1. `PIAPI_API_KEY` in the environment
2. the output of the command in `FLUX_API_KEY_COMMAND`
3. `api_key` in the profile (stored by `flux login`)
4. the output of the command in `api_key_command` in the profile: `"pass show piapi"`, or a list of words
"""

import os
from functools import cache

from ..errors import ConfigError

VARIABLE = "PIAPI_API_KEY"
COMMAND_VARIABLE = "FLUX_API_KEY_COMMAND"
KEYS_URL = "https://piapi.ai/workspace/key"
COMMAND_SECONDS = 60.0
"""A command may ask for a passphrase or a fingerprint."""


def is_key(text: str) -> bool:
    """Return whether a text can be a key: printable ASCII without spaces, because it is sent in a header."""
    return bool(text) and all("!" <= character <= "~" for character in text)


def checked_key(text: str, source: str) -> str:
    """Return a key without its final newline. Raise ConfigError, which never shows the key, if it is invalid."""
    key = text.removesuffix("\n").removesuffix("\r")
    if not is_key(key):
        raise invalid_key(f"the key from {source}", correction(source))
    return key


def invalid_key(what: str, hint: str) -> ConfigError:
    """Return the error for a text that cannot be a key."""
    message = f"{what} contains an invalid character, for example a space, a line break or a quote"
    return ConfigError(message, hint=hint, command=("login",))


def correction(source: str) -> str:
    """Return the hint for a wrong key, to be followed by `flux login`. It names a source that precedes a stored key."""
    if source == VARIABLE:
        return "Correct it, or unset it and store a key with"
    if source == COMMAND_VARIABLE:
        return "Check that command, or unset the variable and store a key with"
    if source == "api_key_command":
        return "Check that command, or store a key with"
    return "Store another key with"


def refused_hint(source: str) -> str:
    """Return the hint for a key that PiAPI refuses: `correction`, with the source unless `flux login` stored it."""
    named = source in (VARIABLE, COMMAND_VARIABLE, "api_key_command")
    return f"The key comes from {source}. {correction(source)}" if named else correction(source)


@cache
def key_from_command(command: str, source: str) -> str:
    """Return the key that a command prints. The command runs once per process, without a shell.

    Its stderr is not captured, because it may ask for a passphrase. Raise ConfigError, which shows neither the output
    nor the arguments, if it fails, takes longer than COMMAND_SECONDS, or prints something that is not a key.
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
    except ValueError:  # from shlex
        raise _command_error(source, "has an unclosed quotation mark") from None
    except OSError as error:
        raise _command_error(source, f"cannot be started: {error.strerror}") from None
    if done.returncode:
        raise _command_error(source, f"failed with exit code {done.returncode}")
    key = output.strip()
    if not key:
        raise ConfigError(f"{source} printed no key", hint="Run the command in your shell to see why")
    return checked_key(key, source)


def _command_error(source: str, problem: str) -> ConfigError:
    return ConfigError(f"the command from {source} {problem}", hint="Run the command in your shell to see why")


def _words(command: str) -> list[str]:
    """Return the words of a command, split as in a shell. On Windows, a backslash is not an escape: paths have it."""
    import shlex

    lexer = shlex.shlex(command, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    if os.name == "nt":
        lexer.escape = ""
    return list(lexer)
