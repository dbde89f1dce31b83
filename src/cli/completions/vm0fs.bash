# Completes the words of vm0fs in bash. Made by: vm0fs completions bash

_vm0fs() {
    local program=${1/#\~\//$HOME/} how=values
    type -P -- "$program" >/dev/null || program=vm0fs
    # The first line says what the other lines are, or that bash is to look for files.
    {
        IFS= read -r how
        mapfile -t COMPREPLY
    } < <(command "$program" complete --shell bash --breaks "$COMP_WORDBREAKS" \
        -- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    case $how in
        files) compopt -o default ;;
        folders) compopt -o dirnames ;;
    esac
    # A folder is rarely the end of a path.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace
    fi
}

# Before 4.4, bash knows no nosort.
complete -o nosort -F _vm0fs vm0fs 2>/dev/null || complete -F _vm0fs vm0fs
