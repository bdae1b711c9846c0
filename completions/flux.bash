# bash completion of flux, from bash 3.2 on. In ~/.bashrc: eval "$(flux completion bash)"

_flux() {
    local program=${1/#\~/$HOME} files before typed word
    COMPREPLY=()
    {
        IFS= read -r files && IFS= read -r before && IFS= read -r typed
        while IFS= read -r word; do
            [[ $word == "$typed"* ]] && COMPREPLY+=("$before${word%%$'\t'*}")
        done
    } < <("$program" --complete "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    ((${#COMPREPLY[@]})) && compopt -o nosort 2>/dev/null # not before bash 4.4
    [[ $files ]] && compopt -o filenames 2>/dev/null # not before bash 4
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null

    [[ $files ]] && while IFS= read -r word; do
        case $files:$word in
        file:* | image:*.[pP][nN][gG] | image:*.[jJ][pP][gG] | image:*.[jJ][pP][eE][gG] | image:*.[wW][eE][bB][pP]) ;;
        *) [[ -d ${word/#\~\//$HOME/} ]] || continue ;;
        esac
        COMPREPLY+=("$before$word")
    done < <(compgen -f -- "$typed")

    # Bash also splits words at = : and @ (COMP_WORDBREAKS), and replaces only the last piece.
    word=${2#[\"\']}
    word=${word//\\/}
    typed=$before$typed
    [[ $typed == *"$word" ]] || word=$typed
    before=${typed%"$word"}
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

complete -F _flux flux flux-cli
