"""Completion for zsh: options and values with what they are for."""

from .kinds import PICTURES, Words, kind_of, word_lists
from .tree import Command, Option, shared

SCRIPT = r"""#compdef flux flux-cli
# zsh completion of flux, written by flux. In ~/.zshrc, after compinit: eval "$(flux completions zsh)"

_flux_commands() {
    local -a commands
    case $command in
@COMMANDS@
    esac
    _describe command commands
}

# Completed by the program: IDs or profiles, each with $2 before it.
_flux_ask() {
    local -a found
    found=(${(f)"$($typed[1] --complete $1 $typed[2,-1] 2>/dev/null)"})
    found=($2${^found/$'\t'/:})
    _describe -V $1 found
}

# An image is a file, or @ and the id of a task.
_flux_image() {
    if [[ $PREFIX == @* ]]; then
        compadd -- @last
        _flux_ask id @
    else
        _files -g '(#i)*.(@PICTURES@)'
    fi
}

_flux_picture() {
    _flux_image
    [[ $PREFIX == @* ]] || _flux_ask id
}

_flux_control() {
    if compset -P '*='; then
        _flux_image
    else
        compadd -S = -- @CONTROLS@
    fi
}

_flux() {
    local curcontext=$curcontext command= context state state_descr line
    local -a specs typed
    local -A opt_args
    typed=("${words[@]}")
    while ((CURRENT > 2)); do
        case "$command $words[2]" in
        @BELOW@) command=${command:+$command }$words[2] ;;
        @PRICED@) command=$words[2] ;;
        *) break ;;
        esac
        shift words
        ((CURRENT--))
    done
@OPTIONS@
    case $command in
@ARGUMENTS@
    esac
    _arguments -s -S $specs
}

if [[ $funcstack[1] == _flux ]]; then
    _flux "$@"
else
    compdef _flux flux flux-cli
fi
"""


def script(program: Command) -> str:
    """The script for the whole program."""
    words = word_lists(program)
    groups = [command for command in program.walk() if command.commands]
    below = [f"'{group.name} {inner.word}'" for group in groups for inner in group.commands]
    parts = {
        "PICTURES": "|".join(PICTURES),
        "CONTROLS": " ".join(words["control"]),
        "COMMANDS": "\n".join(f"    '{group.name}') commands=({_described(group)}) ;;" for group in groups),
        "BELOW": " | ".join(below),
        "PRICED": " | ".join(f"'cost {name}'" for name in words["command"]),
        "OPTIONS": "\n".join(_options(names, options, words) for names, options in shared(program).items()),
        "ARGUMENTS": "\n".join(_arguments(command, words) for command in program.walk()),
    }
    text = SCRIPT
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _described(group: Command) -> str:
    return " ".join(_quoted(f"{inner.word}:{inner.summary}") for inner in group.commands)


def _options(names: tuple[str, ...], options: list[Option], words: Words) -> str:
    taken = "|".join(_quoted(name) for name in names)
    specs = "".join(f"        {_option(option, words)}\n" for option in options)
    return f"    [[ $command == ({taken}) ]] && specs+=(\n{specs}    )"


def _option(option: Option, words: Words) -> str:
    """`'(-m --model)'{-m+,--model=}'[What it is for]:MODEL:(dev pro)'`."""
    names, rest = list(option.names), f"[{_plain(option.description)}]"
    if option.value is not None:
        names = [name + ("=" if name.startswith("--") else "+") for name in names]
        rest += f":{_plain(option.value)}:{_action(option.value, words) or ' '}"
    once = "*" if option.repeatable else f"({' '.join(option.names)})"
    return f"'{once}'{{{','.join(names)}}}{_quoted(rest)}" if len(names) > 1 else _quoted(f"{once}{names[0]}{rest}")


def _arguments(command: Command, words: Words) -> str:
    specs = ["1:command:_flux_commands"] if command.commands else []
    for argument in command.arguments:
        place = "*:" if argument.repeatable else ":" if argument.required else "::"
        # Empty parentheses, for a space would show a message and keep zsh from completing options in its place.
        specs.append(f"{place}{_plain(argument.value)}:{_action(argument.value, words) or '()'}")
    return f"    '{command.name}') specs+=({' '.join(map(_quoted, specs))}) ;;"


def _action(value: str, words: Words) -> str:
    """What completes a value; empty when nothing does."""
    kind = kind_of(value)
    if kind in ("id", "profile"):
        return f" _flux_ask {kind}"  # the space keeps zsh from adding arguments
    if kind in ("image", "picture", "control"):
        return f" _flux_{kind}"
    if kind in ("file", "folder"):
        return {"file": "_files", "folder": "_files -/"}[kind]
    return f"({' '.join(words[kind])})" if kind in words else ""


def _plain(text: str) -> str:
    """Text in which no character means anything to `_arguments`."""
    return "".join(f"\\{character}" if character in "[]:\\" else character for character in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
