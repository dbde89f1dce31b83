#!/bin/sh
# Installs vm0fs below ~/.local, without root, from the folder that this file is in.
# usage: install.sh [--prefix DIR]       install, or install this version over another
#        install.sh --uninstall [--prefix DIR]
#
# DIR is ~/.local unless it is given; for what was installed in DIR, DIR. What was
# installed is listed in DIR/share/vm0fs/installed, before the first file is; --uninstall
# removes that, folders that are empty then, and your services of `vm0fs enable` that start
# this program. Settings, the cache and the log stay.
set -eu

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

action=install
prefix=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
        exit
        ;;
    --uninstall) action=uninstall ;;
    --prefix)
        [ $# -gt 1 ] || fail "--prefix names a folder: --prefix ~/.local"
        shift
        prefix=$1
        ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    *) fail "there is no argument $1; see install.sh --help" ;;
    esac
    shift
done
here=$(cd -- "$(dirname -- "$0")" && pwd)
if [ -z "$prefix" ] && [ -f "$here/installed" ]; then prefix=${here%/share/vm0fs}; fi
[ -n "$prefix" ] || prefix=${HOME:?the home folder is not known; name a folder with --prefix}/.local
# A shell expands no tilde after the equals sign of --prefix=~/DIR.
case $prefix in
/*) ;;
'~' | '~/'*) prefix=${HOME:?the home folder is not known; name another folder with --prefix}${prefix#"~"} ;;
*) prefix=$PWD/$prefix ;;
esac
while [ "$prefix" != / ] && [ "$prefix" != "${prefix%/}" ]; do prefix=${prefix%/}; done
list=$prefix/share/vm0fs/installed

# A word for a shell, also where it has a space.
word() {
    case $1 in
    *[!A-Za-z0-9/._+@:=-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}

# The program as a word of a unit (systemd.service(5), "command lines"), for sed to put in.
# No unit can name one by a path with quotes or backslashes.
unit_word() {
    unit=$(printf ':%s/bin/vm0fs' "$prefix" | sed 's/%/%%/g')
    case $unit in *[[:space:]\;]*) unit=\"$unit\" ;; esac
    printf '%s' "$unit" | sed 's/[\\|&]/\\&/g'
}

# Whether this user has mounts.
is_mounted() {
    grep -qs " fuse\.vm0fs .*[ ,]user_id=$(id -u)[ ,]" /proc/self/mounts
}

# Removes what the list has, and the folders that are empty then.
remove() {
    while IFS= read -r file; do
        case $file in
        */../* | /* | '') continue ;;
        esac
        rm -f -- "$prefix/$file"
        # rmdir removes none that has something in it.
        folder=$(dirname -- "$file")
        while [ "$folder" != . ] && rmdir -- "$prefix/$folder" 2>/dev/null; do
            folder=$(dirname -- "$folder")
        done
    done <"$1"
}

# The lines of units that start this program begin so, one form a line: the program is the
# first word, in quotes where it needs them. Its path is as it was typed (the template of this
# folder) or without symlinks (what `vm0fs enable` writes).
starting() {
    {
        printf '%s\n' "$prefix/bin"
        (cd -P -- "$prefix/bin" 2>/dev/null && pwd -P) || true
    } | sed -n -e 's/%/%%/g' -e 's|$|/vm0fs|' -e h \
        -e 's/.*/=:& /p' -e g -e 's/.*/=:"&" /p' -e g -e 's/.*/=& /p'
}

# Ends this user's services that start this program, as long as it is there.
disable_services() {
    ours=$(starting)
    template=$prefix/share/systemd/user/vm0fs@.service
    units=${XDG_CONFIG_HOME:-${HOME-}/.config}/systemd/user
    for link in "$units"/*.wants/vm0fs@*.service; do
        name=${link##*/}
        starts=$units/$name.d/options.conf
        [ -f "$starts" ] || starts=$link
        [ "$starts" -ef "$template" ] ||
            grep -s '^ExecStart=' -- "$starts" | grep -qF -e "$ours" || continue
        instance=${name#vm0fs@}
        folder=$(systemd-escape --unescape --path -- "${instance%.service}") &&
            "$prefix/bin/vm0fs" disable "$folder" ||
            say "The service $name cannot start any more; remove it: systemctl --user disable --now '$name'"
    done
}

if [ "$action" = uninstall ]; then
    [ -f "$list" ] || fail "there is no vm0fs in $prefix that install.sh has installed ($list is missing)"
    copy=$(mktemp)
    trap 'rm -f -- "$copy"' EXIT
    cat -- "$list" >"$copy"
    disable_services
    remove "$copy"
    rmdir -- "$prefix" 2>/dev/null || true
    say "vm0fs is removed from $prefix."
    if is_mounted; then say "Your mounts go on until you end them: fusermount3 -u FOLDER"; fi
    say "Left, if you used it: ~/.config/vm0fs (settings), ~/.cache/vm0fs, ~/.local/state/vm0fs (the log)."
    exit
fi

[ -x "$here/bin/vm0fs" ] || fail "$here/bin/vm0fs is missing: run the install.sh of an unpacked archive"
problem=$("$here/bin/vm0fs" --version 2>&1 >/dev/null) ||
    fail "the program does not run on this machine: $problem"

new= all= old= is_begun=
end() {
    code=$?
    rm -f -- ${new:+"$new"} ${all:+"$all"} ${old:+"$old"} "$list.new" "$prefix/bin/vm0fs.new"
    [ "$code" -eq 0 ] || [ -z "$is_begun" ] || fail "not all is installed. Mend what is said above" \
        "and run this again, or remove it: sh $(word "$here/install.sh") --uninstall --prefix $(word "$prefix")"
}
trap end EXIT
# Without these, dash ends at a signal without that.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
new=$(mktemp)
all=$(mktemp)
(cd -- "$here" && find bin share -type f | sort) >"$new"
printf '%s\n' share/vm0fs/install.sh share/vm0fs/installed >>"$new"

# First the list, with what another version had: an installation that does not come to its
# end can be removed.
if [ -f "$list" ]; then cat -- "$list" >"$all"; fi
cat -- "$new" >>"$all"
mkdir -p -- "$prefix/share/vm0fs"
sort -u -- "$all" >"$list.new"
mv -f -- "$list.new" "$list"
is_begun=yes
# Of another version, what this one does not have.
old=$(mktemp)
grep -vxF -f "$new" -- "$all" >"$old" || true
remove "$old"
rm -f -- "$old"
while IFS= read -r file; do
    mkdir -p -- "$prefix/$(dirname -- "$file")"
    case $file in
    share/vm0fs/installed) cat -- "$new" >"$prefix/$file" ;;
    share/vm0fs/install.sh) [ "$here/install.sh" -ef "$prefix/$file" ] || cp -f -- "$here/install.sh" "$prefix/$file" ;;
    # The unit names the program by its place.
    share/systemd/*) sed "s|^ExecStart=:/usr/bin/vm0fs|ExecStart=$(unit_word)|" "$here/$file" >"$prefix/$file" ;;
    # Aside first: a program that runs cannot be written to.
    bin/*)
        [ ! -d "$prefix/$file" ] || fail "$(word "$prefix/$file") is a folder; move it away"
        cp -f -- "$here/$file" "$prefix/$file.new"
        chmod 755 -- "$prefix/$file.new"
        mv -f -- "$prefix/$file.new" "$prefix/$file"
        ;;
    *) cp -f -- "$here/$file" "$prefix/$file" ;;
    esac
done <"$new"
told=$("$prefix/bin/vm0fs" --version) ||
    fail "$(word "$prefix/bin/vm0fs") does not run there (is it on a mount with noexec?); choose another --prefix"
say "$told is installed in $prefix."
if is_mounted; then
    say "Your mounts go on with the program that they began with. To exchange it in place:"
    say "    $(word "$prefix/bin/vm0fs") upgrade --all"
fi

case :$PATH: in
*":$prefix/bin:"*) ;;
*) say "$prefix/bin is not in your PATH; add to ~/.profile: PATH=\"$prefix/bin:\$PATH\"" ;;
esac
if ! command -v fusermount3 >/dev/null 2>&1; then
    say "fusermount3 is missing, so only root can mount. It is in the package fuse3:"
    say "    sudo apt-get install fuse3     (Fedora: sudo dnf install fuse3)"
fi
if [ ! -c /dev/fuse ]; then
    say "/dev/fuse is missing: sudo modprobe fuse; in a container: --device /dev/fuse"
fi
case $prefix/share in
"${XDG_DATA_HOME:-${HOME-}/.local/share}" | /usr/local/share | /usr/share) say "Completion works in a new bash or fish. For zsh, add to ~/.zshrc before compinit:" ;;
*)
    say "For completion in bash, add to ~/.bashrc:"
    say "    . $(word "$prefix/share/bash-completion/completions/vm0fs")"
    say "For fish, to ~/.config/fish/config.fish:"
    say "    source $(word "$prefix/share/fish/vendor_completions.d/vm0fs.fish")"
    say "For zsh, to ~/.zshrc before compinit:"
    ;;
esac
say "    fpath=($(word "$prefix/share/zsh/site-functions") \$fpath)"
case :$PATH: in
*":$prefix/bin:"*) say "To look around without an account: vm0fs demo" ;;
*) say "To look around without an account: $(word "$prefix/bin/vm0fs") demo" ;;
esac
say "To remove it: sh $(word "$prefix/share/vm0fs/install.sh") --uninstall"
