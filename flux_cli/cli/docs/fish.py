"""Completion for fish: options and values with what they are for."""

from collections.abc import Iterator

from .kinds import PICTURES, Words, kind_of, word_lists
from .tree import Command, Option, shared

SCRIPT = r"""# fish completion of flux, written by flux. In ~/.config/fish/config.fish: flux completions fish | source

# Whether the command that is typed is one of these.
function __flux_at
    set -l words
    for word in (commandline -opc)[2..]
        string match -q -- '-*' $word; or set -a words $word
    end
    set -l command "$words[1]"
    if contains -- "$words[1] $words[2]" @BELOW@
        set command "$words[1] $words[2]"
    else if contains -- "$words[1] $words[2]" @PRICED@
        set command $words[2]
    end
    contains -- $command $argv
end

# Whether an argument of one of these commands may be what is typed: fish asks also when it is an option.
function __flux_argument_of
    __flux_at $argv; and not string match -q -- '-*' (commandline -ct)
end

# Completed by the program: IDs or profiles, each with $argv[2] before it.
function __flux_ask
    set -l words (commandline -opc)
    for line in ($words[1] --complete $argv[1] $words[2..] 2>/dev/null)
        echo "$argv[2]$line"
    end
end

# An image is a file, or @ and the id of a task. $argv: what is typed of it.
function __flux_image
    if string match -q -- '@*' $argv[1]
        echo @last
        __flux_ask id @
    else
        __fish_complete_suffix --complete=$argv[1] @PICTURES@
    end
end

function __flux_picture
    set -l ids (__flux_ask id) # before fish looks for files: it forgets the command line then
    __flux_image $argv[1]
    string match -q -- '@*' $argv[1]; or printf '%s\n' $ids
end

function __flux_control
    set -l parts (string split -m 1 = -- (commandline -ct))
    if set -q parts[2]
        for image in (__flux_image $parts[2])
            echo "$parts[1]=$image"
        end
    else
        printf '%s=\n' @CONTROLS@
    end
end

complete -c flux -f
complete -c flux-cli -w flux
@RULES@
"""


def script(program: Command) -> str:
    """The script for the whole program."""
    words = word_lists(program)
    groups = [command for command in program.walk() if command.commands]
    rules = [_command(group, inner) for group in groups for inner in group.commands]
    rules += [_option(names, option, words) for names, options in shared(program).items() for option in options]
    rules += [rule for command in program.walk() for rule in _arguments(command, words)]
    parts = {
        "BELOW": " ".join(_quoted(inner.name) for group in groups[1:] for inner in group.commands),
        "PRICED": " ".join(f"'cost {name}'" for name in words["command"]),
        "PICTURES": " ".join(f".{ending}" for ending in PICTURES),
        "CONTROLS": " ".join(words["control"]),
        "RULES": "\n".join(rules),
    }
    text = SCRIPT
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _rule(test: str, names: tuple[str, ...], rest: str) -> str:
    condition = " ".join([test, *(name if name.isalpha() else f'"{name}"' for name in names)])
    return f"complete -c flux -n {_quoted(condition)} {rest}"


def _command(group: Command, inner: Command) -> str:
    return _rule("__flux_at", (group.name,), f"-a {inner.word} -d {_quoted(inner.summary)}")


def _option(names: tuple[str, ...], option: Option, words: Words) -> str:
    forms = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    kind = kind_of(option.value)
    if kind == "file":
        forms.append("-r -F")
    elif option.value is not None:
        forms += ["-x", _values(kind, words)]
    return _rule("__flux_at", names, " ".join([*filter(None, forms), "-d", _quoted(option.description)]))


def _arguments(command: Command, words: Words) -> Iterator[str]:
    for argument in command.arguments:
        kind = kind_of(argument.value)
        if values := "-F" if kind == "file" else _values(kind, words):
            yield _rule("__flux_argument_of", (command.name,), values)


def _values(kind: str, words: Words) -> str:
    """What completes a kind of value other than files, most likely first; empty when nothing does."""
    functions = {
        "folder": "__fish_complete_directories",
        "image": "__flux_image (commandline -ct)",
        "picture": "__flux_picture (commandline -ct)",
        "control": "__flux_control",
        "id": "__flux_ask id",
        "profile": "__flux_ask profile",
    }
    found = f"({functions[kind]})" if kind in functions else " ".join(words.get(kind, ()))
    return f"-k -a '{found}'" if found else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
