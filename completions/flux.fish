# fish completion of flux. In ~/.config/fish/config.fish: flux completion fish | source

function __flux_complete
    set -l program (string replace -r '^~' "$HOME" -- (commandline -opc)[1])
    set -l token (commandline -ct)
    set -l answer ($program --complete (commandline -cp | string collect) 2>/dev/null)
    set -l before $answer[2] # what stays in front of the words, as in --model=dev
    set -l pattern
    switch "$answer[1]"
        case file
            set pattern .
        case folder
            set pattern '/$'
        case image
            set pattern '(?:/|\.(?:png|jpe?g|webp))$'
    end
    printf '%s\n' $before$answer[4..]
    if set -q pattern[1]
        # For a command that does not exist, fish completes files.
        set -l files (complete -C "__flux_files "(string replace -- "$before" '' "$token"))
        printf '%s\n' $before(string match -er -i -- $pattern $files)
    end
end

complete -c flux -c flux-cli -fk -a '(__flux_complete)'
