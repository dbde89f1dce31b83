# What the packages say of copyright. To be sourced, from the repository's folder.

# Text as a field of the format of Debian: indented, empty lines as dots.
as_field() { sed 's/^/ /; s/^ *$/ ./'; }

# The licence of vm0fs in that format
# (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/).
debian_copyright() {
    local owner
    owner=$(sed -n 's/^Copyright (c) //p' LICENSE)
    cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: vm0fs
Comment: The program has crates of others in it. crates.txt.gz beside this file has
 their licences and copyright notices.

Files: *
Copyright: $owner
License: MIT

License: MIT
END
    # What follows its name and its owner.
    sed '1,/^Copyright/d' LICENSE | sed '1{/^$/d}' | as_field
}

# crates_notices TARGET: the crates that are linked for this target, and their licences and
# notices, each text once.
crates_notices() {
    local linked line crate licence folder file sum
    local -A texts=() users=()
    local -a order=()
    linked=$(cargo tree --locked --edges normal --target "$1" --prefix none --format '{p}|{l}' |
        sed -n 's/ (\*)$//; s/^\([^ ]*\) v\([^ |]*\)[^|]*|\(.*\)/\1-\2|\3/p' | grep -v '^vm0fs-' | sort -u)
    printf 'The program vm0fs has these crates of https://crates.io in it, and the standard library\n'
    printf 'of Rust (MIT OR Apache-2.0). Their licences and notices follow.\n\n'
    while IFS='|' read -r crate licence; do
        printf '%-40s %s\n' "$crate" "$licence"
        for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate"; do
            for file in "$folder"/{LICEN[CS]E,COPYING,COPYRIGHT,NOTICE,UNLICENSE}*; do
                [ -f "$file" ] || continue
                sum=$(sha256sum <"$file")
                [[ -v texts[$sum] ]] || order+=("$sum")
                texts[$sum]=$file
                users[$sum]+="$crate "
            done
        done
    done <<<"$linked"
    for sum in "${order[@]}"; do
        printf '\n==== %s\n\n' "${users[$sum]% }"
        tr -d '\r' <"${texts[$sum]}"
    done
}
