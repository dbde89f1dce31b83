# Completes the words of vm0fs in fish. Made by: vm0fs completions fish

function __vm0fs_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l token (commandline --current-token --cut-at-cursor)
    # A quote may still be open.
    set -l word (string unescape -- "$token"; or string unescape -- "$token'"; or string unescape -- "$token\"")
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    type -fq -- $program; or set program vm0fs
    # The first line says what the other lines are, or that fish is to look for files.
    set -l lines (command $program complete --shell fish -- $words "$word" 2>/dev/null)
    set -l option (string match -r -- '^--[^=]*=|' "$word")
    set -l value (string replace -r -- '^--[^=]*=' '' "$word")
    switch "$lines[1]"
        case files
            # That takes a tilde for a name; fish expands one that begins a word.
            if string match -qr -- '^~/' "$token"
                set -l found (__fish_complete_path (string replace -- '~/' "$HOME/" "$value") '')
                printf '%s\n' (string replace -- "$HOME/" '~/' $found)
            else
                printf '%s\n' "$option"(__fish_complete_path "$value" '')
            end
        case folders
            printf '%s\n' "$option"(__fish_complete_directories "$value" '')
        case values
            test (count $lines) -gt 1; and printf '%s\n' $lines[2..]
    end
end

complete --command vm0fs --no-files --keep-order --arguments '(__vm0fs_complete)'
