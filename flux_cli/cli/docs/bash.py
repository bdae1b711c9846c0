"""Completion for bash, from 3.2 (macOS) on; the package bash-completion is not needed."""

import shlex

from .kinds import PICTURES, follows, word_lists
from .tree import Command

SCRIPT = r"""# bash completion of flux, written by flux. In ~/.bashrc: eval "$(flux completions bash)"

# What may follow a command: commands, options with the kinds of their values, the kinds of arguments.
_flux_command() {
    commands='' options='' arguments=''
    case $1 in
@COMMANDS@
    esac
}

# The words of a kind, where they are known beforehand.
_flux_words() {
    case $1 in
@WORDS@
    *'|'*) words=${1//|/ } ;;
    *) words='' ;;
    esac
}

# The kind of value that option $1 takes; empty for a switch.
_flux_kind() {
    kind=" $options "
    case $kind in
    *" $1="*) kind=${kind#*" $1="} kind=${kind%% *} ;;
    *) kind='' ;;
    esac
}

# Those of the words $2... that begin as is typed, each with $1 behind it.
_flux_offer() {
    local word
    for word in "${@:2}"; do
        [[ $word == "$current"* ]] && COMPREPLY+=("$word$1")
    done
}

# Completed by the program: IDs or profiles, each with $2 before it.
_flux_ask() {
    local line
    compopt -o nosort 2>/dev/null # the newest first; not before bash 4.4
    while IFS= read -r line; do
        _flux_offer '' "$2${line%%$'\t'*}"
    done < <("${typed[0]}" --complete "$1" "${typed[@]:1}" 2>/dev/null)
}

# Files of a kind: file, directory or image.
_flux_files() {
    local name
    compopt -o filenames 2>/dev/null # not before bash 4
    current=${current#[\"\']}
    current=${current//\\/}
    while IFS= read -r name; do
        case $1:$name in
        file:* | @PICTURES@) COMPREPLY+=("$name") ;;
        *) [[ -d ${name/#\~\//$HOME/} ]] && COMPREPLY+=("$name") ;;
        esac
    done < <(compgen -f -- "$current")
}

# An image is a file, or @ and the id of a task.
_flux_image() {
    if [[ $current == @* ]]; then
        _flux_offer '' @last
        _flux_ask id @
    else
        _flux_files image
    fi
}

_flux_values() {
    local words
    case $kind in
    file | folder) _flux_files "$kind" ;;
    image) _flux_image ;;
    id | profile) _flux_ask "$kind" ;;
    picture)
        _flux_image
        [[ $current == @* ]] || _flux_ask id
        ;;
    control)
        if [[ $current == *=* ]]; then
            before+=${current%%=*}=
            current=${current#*=}
            _flux_image
        else
            _flux_words control
            _flux_offer = $words
            compopt -o nospace 2>/dev/null
        fi
        ;;
    *)
        _flux_words "$kind"
        _flux_offer '' $words
        ;;
    esac
}

# Bash cuts words also at = : and @ (COMP_WORDBREAKS). In `typed` what stands together is one word, up to the cursor.
_flux_typed() {
    local line=${COMP_LINE:-${COMP_WORDS[*]}} rest word i
    line=${line:0:${COMP_POINT:-${#line}}}
    typed=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        rest=${line#"${line%%[![:space:]]*}"}
        ((i == COMP_CWORD)) && word=$rest
        if ((i)) && [[ $rest == "$line" ]]; then
            typed[${#typed[@]} - 1]+=$word
        else
            typed+=("$word")
        fi
        line=${rest#"$word"}
    done
}

_flux() {
    local IFS=$' \t\n' typed commands options arguments kind='' command='' place=0 current before='' whole word i
    COMPREPLY=()
    _flux_typed
    whole=${typed[${#typed[@]} - 1]}
    current=$whole

    _flux_command ''
    for word in "${typed[@]:1:${#typed[@]}-2}"; do
        if [[ -n $kind ]]; then
            kind='' # that was the value of the option before
        elif [[ $word == -* ]]; then
            _flux_kind "$word"
        elif [[ " $commands " == *" $word "* || $arguments == command... ]]; then
            [[ -n $commands ]] && command+="${command:+ }$word" || command=$word
            _flux_command "$command"
        else
            ((++place))
        fi
    done

    if [[ -n $kind ]]; then
        _flux_values
    elif [[ $current == --*=* ]]; then
        _flux_kind "${current%%=*}"
        before=${current%%=*}=
        current=${current#*=}
        _flux_values
    elif [[ $current == -* || -z $commands$arguments ]]; then
        for word in $options; do
            _flux_offer '' "${word%%=*}"
        done
    elif [[ -n $commands ]]; then
        _flux_offer '' $commands
    else
        arguments=($arguments)
        i=$((${#arguments[@]} - 1))
        [[ ${arguments[i]} == *... && place -gt i ]] && place=$i
        kind=${arguments[place]%...}
        _flux_values
    fi

    # A reply takes the place of the last piece only, where bash has cut: after = and :, before @.
    word=${COMP_WORDBREAKS//[^=:]/}
    [[ -n $word ]] && word=${whole%"${whole##*[$word]}"}
    [[ $COMP_WORDBREAKS == *@* && ${whole#"$word"} == *@* ]] && word=${whole%@*}
    for i in "${!COMPREPLY[@]}"; do
        current=$before${COMPREPLY[i]}
        COMPREPLY[i]=${current#"$word"}
    done
}

complete -F _flux flux flux-cli
"""


def script(program: Command) -> str:
    """The script for the whole program."""
    endings = " | ".join(f"image:*.{''.join(f'[{c}{c.upper()}]' for c in ending)}" for ending in PICTURES)
    words = [
        f"    {kind}) words='{' '.join(words)}' ;;" for kind, words in word_lists(program).items() if "|" not in kind
    ]
    commands = [_command(command) for command in program.walk()]
    text = SCRIPT.replace("@PICTURES@", endings).replace("@WORDS@", "\n".join(words))
    return text.replace("@COMMANDS@", "\n".join(commands))


def _command(command: Command) -> str:
    settings = [f"{name}='{' '.join(words)}'" for name, words in follows(command).items() if words]
    return "\n        ".join([f"    {shlex.quote(command.name)})", *settings, ";;"])
