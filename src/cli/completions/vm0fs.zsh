#compdef vm0fs
# Completes the words of vm0fs in zsh. Made by: vm0fs completions zsh

_vm0fs() {
    local program=${${(Q)words[1]}/#\~\//$HOME/} how line value
    local -a lines values shown open open_shown
    whence -p -- $program >/dev/null || program=vm0fs
    # The first line says what the other lines are, or that zsh is to look for files.
    lines=("${(@f)$(command $program complete --shell zsh \
        -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    how=${lines[1]}
    case $how in
        files | folders)
            compset -P '--*='
            if [[ $how == folders ]]; then _files -/; else _files; fi
            return
            ;;
        values) ;;
        *) return 1 ;;
    esac
    # What begins with the home is not to be quoted there.
    local home=
    if [[ $PREFIX == '~/'* ]] && compset -P '\~/'; then home='~/'; fi
    for line in "${(@)lines[2,-1]}"; do
        value=${${line%%$'\t'*}#$home}
        line=${line/$'\t'/  -- }
        # A folder is rarely the end of a path.
        if [[ $value == *[=/] ]]; then
            open+=("$value")
            open_shown+=("$line")
        else
            values+=("$value")
            shown+=("$line")
        fi
    done
    compadd -l -V vm0fs -d shown -a values
    compadd -l -V vm0fs -S '' -d open_shown -a open
    ((${#values} + ${#open}))
}

if [[ $funcstack[1] == _vm0fs ]]; then
    _vm0fs "$@"
else
    compdef _vm0fs vm0fs
fi
