# What the scripts need: messages, missing packages, the Rust toolchain, an S3 server,
# cargo-deb and /dev/fuse. To be sourced, from the repository's folder.

step() { printf '\n==> %s\n' "$*"; }
say() { printf '    %s\n' "$*"; }
fail() {
    printf '\nerror: %s\n' "$1" >&2
    shift
    if (($#)); then printf '       %s\n' "$@" >&2; fi
    exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# Programs of the system can be beyond the PATH of an ordinary user.
PATH="$PATH:/usr/sbin:/sbin"

# Runs a command as root; fails where this user cannot.
as_root() {
    if is_root; then
        "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$@"
    else
        return 1
    fi
}

# need PACKAGE COMMAND: notes the package where the command is missing.
missing=()
need() {
    if ! command -v "$2" >/dev/null; then missing+=("$1"); fi
}

# Installs what `need` has noted.
install_missing() {
    if ((${#missing[@]} == 0)); then
        say "nothing is missing"
        return
    fi
    say "missing: ${missing[*]}"
    command -v apt-get >/dev/null ||
        fail "there is no apt-get here, so these packages cannot be installed: ${missing[*]}" \
            "Install them (the names are Debian's), and run this again."
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120)
    if ! as_root true; then
        fail "only root can install packages, and this user has no sudo" \
            "As root: apt-get install ${missing[*]}"
    fi
    as_root "${apt[@]}" update ||
        say "apt-get update failed; trying with the package lists of this machine"
    as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
        fail "apt-get could not install: ${missing[*]}" "Its messages are above."
    hash -r
}

# Building needs Cargo, a linker and a C compiler, and certificates to fetch crates.
need_toolchain() {
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    command -v cargo >/dev/null ||
        fail "there is no cargo; install Rust from https://rustup.rs and run this again"
    need gcc cc
    if [ ! -e /usr/include/stdlib.h ]; then missing+=(libc6-dev); fi
    if [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then missing+=(ca-certificates); fi
}

# Installs s3s-fs, an S3 server on a folder, below the target folder.
install_s3s() {
    local version=0.14.1 folder="${CARGO_TARGET_DIR:-target}/s3s-fs"
    step "s3s-fs $version"
    if "$folder/bin/s3s-fs" --version 2>/dev/null | grep -qF "$version"; then
        say "installed in $folder"
        return
    fi
    say "building it takes some minutes, once"
    cargo install --quiet --locked --features binary --root "$folder" \
        --target-dir "$folder/build" --version "$version" s3s-fs
    rm -rf "$folder/build"
}

# Installs cargo-deb, which packs for Debian, below the target folder; sets cargo_deb.
install_cargo_deb() {
    local version=3.8.0 folder="${CARGO_TARGET_DIR:-target}/cargo-deb"
    cargo_deb=$folder/bin/cargo-deb
    step "cargo-deb $version"
    if "$cargo_deb" --version 2>/dev/null | grep -qF "$version"; then
        say "installed in $folder"
        return
    fi
    say "building it takes some minutes, once"
    cargo install --quiet --locked --no-default-features --root "$folder" \
        --target-dir "$folder/build" --version "$version" cargo-deb
    rm -rf "$folder/build"
}

# Makes sure that this user, or as root every user, can open /dev/fuse.
open_fuse() {
    if [ ! -e /dev/fuse ] && command -v modprobe >/dev/null; then
        say "/dev/fuse is missing; loading the kernel module fuse"
        as_root modprobe fuse || true
    fi
    [ -c /dev/fuse ] ||
        fail "/dev/fuse is missing, so nothing can be mounted" \
            "On a host: modprobe fuse. In a container: start it with" \
            "--device /dev/fuse --cap-add SYS_ADMIN (and --security-opt apparmor=unconfined)."
    if is_root; then
        # What udev does on an ordinary host; containers often lack it.
        if [ "$(stat -c %a /dev/fuse)" != 666 ]; then
            say "opening /dev/fuse to all users (chmod 0666)"
            chmod 0666 /dev/fuse || fail "cannot open /dev/fuse to all users"
        fi
    elif [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
        say "opening /dev/fuse to all users (chmod 0666)"
        as_root chmod 0666 /dev/fuse ||
            fail "this user may not open /dev/fuse: $(ls -l /dev/fuse)" \
                "As root: chmod 0666 /dev/fuse"
    fi
}
