# fish completion of flux, written by flux. In ~/.config/fish/config.fish: flux completions fish | source

# Whether the command that is typed is one of these.
function __flux_at
    set -l words
    for word in (commandline -opc)[2..]
        string match -q -- '-*' $word; or set -a words $word
    end
    set -l command "$words[1]"
    if contains -- "$words[1] $words[2]" 'config get' 'config set' 'config list' 'config path'
        set command "$words[1] $words[2]"
    else if contains -- "$words[1] $words[2]" 'cost gen' 'cost lora' 'cost controlnet' 'cost redux' 'cost edit' 'cost inpaint' 'cost outpaint' 'cost batch' 'cost rerun'
        set command $words[2]
    end
    contains -- $command $argv
end

# Whether an argument of one of these commands may be what is typed: fish asks also when it is an option.
function __flux_argument_of
    __flux_at $argv; and not string match -q -- '-*' (commandline -ct)
end

# What only the program knows: ids or profiles, each with $argv[2] before it.
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
        __fish_complete_suffix --complete=$argv[1] .png .jpg .jpeg .webp
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
        printf '%s=\n' pose openpose depth canny soft-edge soft_edge hed
    end
end

complete -c flux -f
complete -c flux-cli -w flux
complete -c flux -n '__flux_at ""' -a gen -d 'Make a picture from words.'
complete -c flux -n '__flux_at ""' -a lora -d 'Make a picture in a style, from words or from a picture.'
complete -c flux -n '__flux_at ""' -a controlnet -d 'Make a picture with the pose, depth or edges of another.'
complete -c flux -n '__flux_at ""' -a redux -d 'Make a variation of a picture.'
complete -c flux -n '__flux_at ""' -a edit -d 'Redraw a picture after words.'
complete -c flux -n '__flux_at ""' -a inpaint -d 'Paint a region of a picture anew.'
complete -c flux -n '__flux_at ""' -a outpaint -d 'Continue a picture beyond its edges.'
complete -c flux -n '__flux_at ""' -a batch -d 'Make what the rows of a file ask for.'
complete -c flux -n '__flux_at ""' -a status -d 'Tell where tasks are, without waiting or downloading.'
complete -c flux -n '__flux_at ""' -a wait -d 'Wait for tasks and save their pictures.'
complete -c flux -n '__flux_at ""' -a resume -d 'Finish what is paid for and not on disk, at no cost.'
complete -c flux -n '__flux_at ""' -a resolve -d 'Resolve submissions that may have been charged.'
complete -c flux -n '__flux_at ""' -a history -d 'List what was asked for and what became of it, newest first.'
complete -c flux -n '__flux_at ""' -a show -d 'Show how an image was made.'
complete -c flux -n '__flux_at ""' -a rerun -d 'Generate an image again, with what options change.'
complete -c flux -n '__flux_at ""' -a gallery -d 'Show the pictures of a folder, or of a batch, in one page.'
complete -c flux -n '__flux_at ""' -a models -d 'List the models: prices, licences, speed, abilities.'
complete -c flux -n '__flux_at ""' -a cost -d 'Price a command, or sum up what was spent here.'
complete -c flux -n '__flux_at ""' -a balance -d 'Ask the service for the account\'s plan and balance.'
complete -c flux -n '__flux_at ""' -a login -d 'Store an API key, once the service has accepted it.'
complete -c flux -n '__flux_at ""' -a logout -d 'Remove the stored API key of a profile.'
complete -c flux -n '__flux_at ""' -a doctor -d 'Check key, service, journal and pictures; say what to type.'
complete -c flux -n '__flux_at ""' -a completions -d 'Print the completion script of a shell.'
complete -c flux -n '__flux_at ""' -a sandbox -d 'Serve a miniature of PiAPI, to test scripts at no cost.'
complete -c flux -n '__flux_at ""' -a listen -d 'Receive PiAPI\'s webhooks, and save the pictures.'
complete -c flux -n '__flux_at ""' -a config -d 'Show and change settings.'
complete -c flux -n '__flux_at config' -a get -d 'Print the value of a setting; nothing when it is unset.'
complete -c flux -n '__flux_at config' -a set -d 'Set a setting in the config file.'
complete -c flux -n '__flux_at config' -a list -d 'Show every setting, its value, and where the value came from.'
complete -c flux -n '__flux_at config' -a path -d 'Print where the config file is.'
complete -c flux -n '__flux_at ""' -l version -d 'Print the version.'
complete -c flux -n '__flux_at ""' -l json -d 'With --help, also a command\'s: all of it as data.'
complete -c flux -n '__flux_at "" gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen config "config get" "config set" "config list" "config path"' -s h -l help -d 'Show this message and exit.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -s m -l model -x -k -a 'schnell dev pro dev-advanced auto' -d 'schnell, dev, pro, dev-advanced, a full id, or auto. [dev]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l commercial -d 'Refuse a model without commercial licence.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l negative -x -d 'What to avoid.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l guidance -x -d 'How closely to follow the prompt, 1.5 to 5.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l denoise -x -d 'How much to change, above 0, up to 1.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l steps -x -d 'schnell 1 to 10, others 1 to 40.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l seed -x -d 'Makes the same picture again; 1..4 makes four. [random]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -s b -l batch-size -x -d 'Pictures a task, 1 to 4, schnell only. [1]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l service-mode -x -k -a 'public private' -d 'Pay as you go, or on your own account.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l webhook -x -d 'PiAPI calls it when the task ends.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l webhook-secret-file -r -F -d 'Its secret; or FLUX_WEBHOOK_SECRET.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l set -x -d 'Set a field of the request: input.steps=30; repeatable.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l input -r -F -d 'JSON laid over the request, unchecked.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l no-wait -d 'Submit, print the task id, and leave.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l dry-run -d 'Print the request and its price; send nothing.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l fail-fast -d 'Submit nothing more after a failure.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l retry-failed -d 'Buy again what failed before.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l no-cache -d 'Generate and pay again, even if an identical image exists.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l cache -d 'Reuse an earlier image of the same request, whatever its seed.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l shard -x -d 'Only share K of N of the tasks, for several machines.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch rerun' -l report -r -F -d 'What became of each: .json, .csv or .xml (JUnit).'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l size -x -d 'Pixels; at most 1048576 in all.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l aspect -x -d 'The largest size of this shape.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l width -x -d 'Width.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l height -x -d 'Height.'
complete -c flux -n '__flux_at gen lora controlnet redux edit batch rerun' -l preset -x -k -a 'portrait landscape square' -d 'portrait, landscape, square; with what suits them.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -s o -l output -r -F -d 'File, template such as \'{slug}-{seed}.png\', or - for stdout.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -s d -l output-dir -x -k -a '(__fish_complete_directories)' -d 'Folder for the pictures. [.]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -l no-metadata -d 'Leave the request out of the picture.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun listen' -l skip-existing -d 'Buy nothing when the file exists.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait rerun gallery listen' -l overwrite -d 'Replace an existing file.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait resume resolve rerun' -l timeout -x -d 'Stop waiting, not paying. [900]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait resume resolve rerun' -s j -l concurrency -x -d 'Tasks at once. [what the plan allows]'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint' -l from -r -F -d 'Prompts from a file, one a line; - for stdin.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint' -l vary -x -d 'Values for {NAME} in the prompt; or NAME=@FILE. Repeatable.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch resolve rerun' -l max-cost -x -d 'Send nothing when it would cost more.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch resolve rerun' -s y -l yes -d 'Do not ask about the cost.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait show rerun' -l preview -d 'Draw the picture on the terminal.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch wait show rerun' -l open -d 'Open it in the system\'s viewer.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l profile -x -k -a '(__flux_ask profile)' -d 'Profile in the config file.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l sandbox -d 'Use the built-in service: free, offline, no key.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l json -d 'One JSON object per result.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -s q -l quiet -d 'Only paths or ids, and errors.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -s v -l verbose -d 'Tell every step.'
complete -c flux -n '__flux_at gen lora controlnet redux edit inpaint outpaint batch status wait resume resolve history show rerun gallery models cost balance login logout doctor completions sandbox listen "config get" "config set" "config list" "config path"' -l debug -d 'HTTP trace on stderr, without secrets.'
complete -c flux -n '__flux_at lora controlnet' -l lora -x -k -a 'anime art disney furry mjv6 realism scenery collage-artstyle creepcute cyberpunk-anime-style deco-pulse deep-sea-particle-enhencer faetastic-details fractal-geometry galactixy-illustrations-style geometric-woman graphic-portrait mat-miller-art moebius-style ob3d-isometric-3d-room paper-quilling-and-layering-style mystic-realism remes-abstract-poster-style' -d 'A style, by name or address; repeatable.'
complete -c flux -n '__flux_at lora' -l image -x -k -a '(__flux_image (commandline -ct))' -d 'Restyle this picture instead of painting a new one.'
complete -c flux -n '__flux_at lora controlnet redux edit inpaint outpaint batch' -l no-fit -d 'Refuse a picture that is too large; do not scale it.'
complete -c flux -n '__flux_at controlnet' -l control -x -k -a '(__flux_control)' -d 'Follow a picture\'s structure; repeatable.'
complete -c flux -n '__flux_at controlnet' -l keep-control -d 'Save also what the service read from the control pictures.'
complete -c flux -n '__flux_at redux' -l strength -x -d 'How much to vary, 0 to 1.'
complete -c flux -n '__flux_at edit' -l kontext -d 'The instruction editor: \'make the car red\'. dev-advanced only.'
complete -c flux -n '__flux_at inpaint' -l mask -x -k -a '(__flux_image (commandline -ct))' -d 'Picture of the same size, white where to paint.'
complete -c flux -n '__flux_at inpaint' -l mask-box -x -d 'A box, in pixels or percent: 10%,20%,300,50%.'
complete -c flux -n '__flux_at inpaint' -l mask-color -x -d 'Where it has this colour.'
complete -c flux -n '__flux_at inpaint' -l mask-alpha -d 'Where the picture is transparent.'
complete -c flux -n '__flux_at inpaint' -l feather -x -d 'Soften the edge by so many pixels. [0]'
complete -c flux -n '__flux_at inpaint' -l invert -d 'Paint everything else.'
complete -c flux -n '__flux_at inpaint' -l show-mask -r -F -d 'Write a picture of the region; send nothing.'
complete -c flux -n '__flux_at outpaint' -l left -x -d 'How far: pixels or N% of the side. [0]'
complete -c flux -n '__flux_at outpaint' -l right -x -d 'The same to the right. [0]'
complete -c flux -n '__flux_at outpaint' -l top -x -d 'The same at the top. [0]'
complete -c flux -n '__flux_at outpaint' -l bottom -x -d 'The same at the bottom. [0]'
complete -c flux -n '__flux_at wait' -l any -d 'Until the first picture is saved; the others run on.'
complete -c flux -n '__flux_at resume' -l expiring -d 'Only what the service may drop within a day: it keeps pictures for seven.'
complete -c flux -n '__flux_at resolve' -l task -x -k -a '(__flux_ask id)' -d 'The task exists: download its image (no extra charge).'
complete -c flux -n '__flux_at resolve' -l force -d 'With --task: link the task even if its prompt, model or seed differs.'
complete -c flux -n '__flux_at resolve' -l dismiss -d 'The task does not exist, or you do not need its image.'
complete -c flux -n '__flux_at resolve' -l resubmit -d 'Submit the request again, and pay for it.'
complete -c flux -n '__flux_at history' -l state -x -k -a 'planned sending accepted ready saved rejected unknown forgotten failed expired' -d 'Only entries in this state: saved, accepted, unknown, ...'
complete -c flux -n '__flux_at history' -l limit -x -d 'How many entries. [20]'
complete -c flux -n '__flux_at rerun' -l prompt -x -d 'Another prompt.'
complete -c flux -n '__flux_at gallery' -l batch -r -F -d 'The pictures of a batch: its --report FILE.json.'
complete -c flux -n '__flux_at gallery' -s o -l output -r -F -d 'The page. [gallery.html in the folder]'
complete -c flux -n '__flux_at gallery' -l sheet -r -F -d 'A contact sheet instead: .png, .jpg or .webp.'
complete -c flux -n '__flux_at gallery' -l since -x -d 'Only what is newer: 7d, 2026-11-01.'
complete -c flux -n '__flux_at gallery' -l open -d 'Open it when it is written.'
complete -c flux -n '__flux_at models' -l for -x -k -a 'commercial fast quality controlnet edit gen inpaint kontext lora outpaint redux' -d 'Only the model for: commercial, fast, quality, an operation.'
complete -c flux -n '__flux_at cost' -l since -x -d 'Only what was spent since a day, or in the last N days.'
complete -c flux -n '__flux_at cost' -l by -x -k -a 'model day op profile' -d 'Split by one of these.'
complete -c flux -n '__flux_at login' -l no-check -d 'Store the key without asking the service about it.'
complete -c flux -n '__flux_at doctor' -l offline -d 'Do not ask the service.'
complete -c flux -n '__flux_at doctor' -l fix -d 'Mend what can be mended; each thing is said before.'
complete -c flux -n '__flux_at doctor' -l bundle -r -F -d 'Write a zip for a bug report, without keys and prompts.'
complete -c flux -n '__flux_at doctor' -l with-prompts -d 'The bundle may show prompts and answers.'
complete -c flux -n '__flux_at sandbox' -l port -x -d '0 takes a free one. [8517]'
complete -c flux -n '__flux_at sandbox' -l fault -x -d 'What goes wrong; repeatable.'
complete -c flux -n '__flux_at sandbox' -l list-faults -d 'Print all that can go wrong, and leave.'
complete -c flux -n '__flux_at sandbox' -l seed -x -d 'Of the faults\' chances. [0]'
complete -c flux -n '__flux_at sandbox' -l replies -x -k -a 'sop live' -d 'As specified, or as the live service. [sop]'
complete -c flux -n '__flux_at sandbox' -l plan -x -k -a 'free creator pro' -d 'Tasks at once, operations. [pro]'
complete -c flux -n '__flux_at sandbox' -l credits -x -d 'The balance. [no end]'
complete -c flux -n '__flux_at sandbox' -l speed -x -d 'Times faster than documented; 1: real time. [15]'
complete -c flux -n '__flux_at sandbox' -l expire -x -d 'How long links live: 30s, 10m, 2h. [7d]'
complete -c flux -n '__flux_at sandbox' -l key -x -d 'Accept this key only; repeatable. [any]'
complete -c flux -n '__flux_at sandbox' -l webhook-host -x -d 'Deliver there too; repeatable. [this machine only]'
complete -c flux -n '__flux_at sandbox' -l state -r -F -d 'Keep the tasks here. [forgotten at the end]'
complete -c flux -n '__flux_at sandbox listen' -l host -x -d 'Another address to listen at. [127.0.0.1]'
complete -c flux -n '__flux_at listen' -l port -x -d '0 takes a free one. [8518]'
complete -c flux -n '__flux_at listen' -l webhook-secret-file -r -F -d 'What deliveries bring; or FLUX_WEBHOOK_SECRET.'
complete -c flux -n '__flux_at listen' -l forward -x -d 'Pass each delivery on, as it came.'
complete -c flux -n '__flux_at listen' -l exec -x -d 'Run it for each picture, whose name comes last.'
complete -c flux -n '__flux_at listen' -l count -x -d 'Stop after so many tasks are saved.'
complete -c flux -n '__flux_argument_of redux' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of edit' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of inpaint' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of outpaint' -k -a '(__flux_image (commandline -ct))'
complete -c flux -n '__flux_argument_of batch' -F
complete -c flux -n '__flux_argument_of status' -k -a '(__flux_ask id)'
complete -c flux -n '__flux_argument_of wait' -k -a '(__flux_ask id)'
complete -c flux -n '__flux_argument_of resolve' -k -a '(__flux_ask id)'
complete -c flux -n '__flux_argument_of show' -k -a '(__flux_picture (commandline -ct))'
complete -c flux -n '__flux_argument_of rerun' -k -a '(__flux_picture (commandline -ct))'
complete -c flux -n '__flux_argument_of gallery' -k -a '(__fish_complete_directories)'
complete -c flux -n '__flux_argument_of cost' -k -a 'gen lora controlnet redux edit inpaint outpaint batch rerun'
complete -c flux -n '__flux_argument_of completions' -k -a 'bash zsh fish powershell'
complete -c flux -n '__flux_argument_of "config get"' -k -a 'model output_dir timeout plan concurrency confirm_above budget.day budget.month cache_hours service_mode webhook webhook_secret_file dialect base_url upload_url sandbox time_scale'
complete -c flux -n '__flux_argument_of "config set"' -k -a 'model output_dir timeout plan concurrency confirm_above budget.day budget.month cache_hours service_mode webhook webhook_secret_file dialect base_url upload_url sandbox time_scale'
