# bash completion of flux, written by flux. In ~/.bashrc: eval "$(flux completions bash)"

# What may follow a command: commands, options with the kinds of their values, the kinds of arguments.
_flux_command() {
    commands='' options='' arguments=''
    case $1 in
    '')
        commands='gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen config'
        options='--version --json -h --help'
        ;;
    gen)
        options='-m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --size=text --aspect=text --width=text --height=text --preset=preset -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --from=file --vary=text --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='text'
        ;;
    lora)
        options='--lora=lora --image=image -m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --size=text --aspect=text --width=text --height=text --preset=preset --no-fit -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --from=file --vary=text --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='text'
        ;;
    controlnet)
        options='--control=control --lora=lora --keep-control -m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --size=text --aspect=text --width=text --height=text --preset=preset --no-fit -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --from=file --vary=text --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='text'
        ;;
    redux)
        options='--strength=text -m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --size=text --aspect=text --width=text --height=text --preset=preset --no-fit -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --from=file --vary=text --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='image text'
        ;;
    edit)
        options='--kontext -m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --size=text --aspect=text --width=text --height=text --preset=preset --no-fit -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --from=file --vary=text --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='image text'
        ;;
    inpaint)
        options='--mask=image --mask-box=text --mask-color=text --mask-alpha --feather=text --invert --show-mask=file -m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --no-fit -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --from=file --vary=text --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='image text'
        ;;
    outpaint)
        options='--left=text --right=text --top=text --bottom=text -m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --no-fit -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --from=file --vary=text --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='image text'
        ;;
    batch)
        options='-m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --size=text --aspect=text --width=text --height=text --preset=preset --no-fit -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='file'
        ;;
    status)
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='id...'
        ;;
    wait)
        options='--any -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='id...'
        ;;
    resume)
        options='--expiring --timeout=text -j=text --concurrency=text --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    resolve)
        options='--task=id --force --dismiss --resubmit --max-cost=text -y --yes --timeout=text -j=text --concurrency=text --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='id...'
        ;;
    history)
        options='--state=state --limit=text --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    show)
        options='--preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='picture'
        ;;
    rerun)
        options='--prompt=text -m=model --model=model --commercial --negative=text --guidance=text --denoise=text --steps=text --seed=text -b=text --batch-size=text --service-mode=public|private --webhook=text --webhook-secret-file=file --set=text --input=file --size=text --aspect=text --width=text --height=text --preset=preset -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --timeout=text -j=text --concurrency=text --no-wait --dry-run --fail-fast --retry-failed --no-cache --cache --shard=text --report=file --max-cost=text -y --yes --preview --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='picture'
        ;;
    gallery)
        options='--batch=file -o=file --output=file --sheet=file --since=text --overwrite --open --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='folder'
        ;;
    models)
        options='--for=purpose --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    cost)
        options='--since=text --by=model|day|op|profile --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='command...'
        ;;
    balance)
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    login)
        options='--no-check --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    logout)
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    doctor)
        options='--offline --fix --bundle=file --with-prompts --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    completions)
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='bash|zsh|fish|powershell'
        ;;
    sandbox)
        options='--port=text --host=text --fault=text --list-faults --seed=text --replies=sop|live --plan=free|creator|pro --credits=text --speed=text --expire=text --key=text --webhook-host=text --state=file --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    listen)
        options='--port=text --host=text --webhook-secret-file=file --forward=text --exec=text --count=text -o=file --output=file -d=folder --output-dir=folder --overwrite --no-metadata --skip-existing --profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    config)
        commands='get set list path'
        options='-h --help'
        ;;
    'config get')
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='setting'
        ;;
    'config set')
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        arguments='setting text'
        ;;
    'config list')
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    'config path')
        options='--profile=profile --sandbox --json -q --quiet -v --verbose --debug -h --help'
        ;;
    esac
}

# The words of a kind, where they are known beforehand.
_flux_words() {
    case $1 in
    command) words='gen lora controlnet redux edit inpaint outpaint batch rerun' ;;
    control) words='pose openpose depth canny soft-edge soft_edge hed' ;;
    lora) words='anime art disney furry mjv6 realism scenery collage-artstyle creepcute cyberpunk-anime-style deco-pulse deep-sea-particle-enhencer faetastic-details fractal-geometry galactixy-illustrations-style geometric-woman graphic-portrait mat-miller-art moebius-style ob3d-isometric-3d-room paper-quilling-and-layering-style mystic-realism remes-abstract-poster-style' ;;
    model) words='schnell dev pro dev-advanced auto' ;;
    preset) words='portrait landscape square' ;;
    purpose) words='commercial fast quality controlnet edit gen inpaint kontext lora outpaint redux' ;;
    setting) words='model output_dir timeout plan concurrency confirm_above budget.day budget.month cache_hours service_mode webhook webhook_secret_file dialect base_url upload_url sandbox time_scale' ;;
    state) words='planned sending accepted ready saved rejected unknown forgotten failed expired' ;;
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

# What only the program knows: ids or profiles, each with $2 before it.
_flux_ask() {
    local line
    compopt -o nosort 2>/dev/null # the newest first; not before bash 4.4
    while IFS= read -r line; do
        _flux_offer '' "$2${line%%$'\t'*}"
    done < <("${typed[0]}" --complete "$1" "${typed[@]:1}" 2>/dev/null)
}

# Files of a kind: file, folder or image.
_flux_files() {
    local name
    compopt -o filenames 2>/dev/null # not before bash 4
    current=${current#[\"\']}
    current=${current//\\/}
    while IFS= read -r name; do
        case $1:$name in
        file:* | image:*.[pP][nN][gG] | image:*.[jJ][pP][gG] | image:*.[jJ][pP][eE][gG] | image:*.[wW][eE][bB][pP]) COMPREPLY+=("$name") ;;
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
