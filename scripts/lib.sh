# Shared by scripts/test and scripts/quickstart: finding and installing outside programs, announcing steps with their time.

say() { printf '%s\n' "$*" >&2; }
die() { say "ERROR: $*"; exit 1; }

# need_program PROGRAM PACKAGE WHY: installs the Debian package when the program is missing; without root says which package to install.
need_program() {
    local program=$1 package=$2 why=$3
    PATH="$PATH:/usr/sbin:/usr/local/go/bin" command -v "$program" >/dev/null 2>&1 && return 0
    say "$program is missing: $why."
    if [ "$(id -u)" -ne 0 ]; then
        die "install it with:  sudo apt-get install $package"
    fi
    command -v apt-get >/dev/null 2>&1 || die "install the package that has $program (Debian: $package)"
    say "installing the Debian package $package …"
    { apt-get install -y -qq "$package" >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq "$package" >/dev/null; }; } ||
        die "$package could not be installed; try:  apt-get update && apt-get install $package"
}

# need_python MODULE PACKAGE WHY: the same for a module of the system's Python.
need_python() {
    /usr/bin/python3 -c "import $1" >/dev/null 2>&1 && return 0
    say "the Python module $1 is missing: $3."
    [ "$(id -u)" -eq 0 ] || die "install it with:  sudo apt-get install $2"
    { apt-get install -y -qq "$2" >/dev/null 2>&1 || { apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq "$2" >/dev/null; }; } ||
        die "$2 could not be installed; try:  apt-get update && apt-get install $2"
}

# need_rust: cargo and a C compiler (the cryptography and SQLite are C inside).
need_rust() {
    PATH="$PATH:$HOME/.cargo/bin"
    command -v cargo >/dev/null 2>&1 || die "Rust is missing: install rustup; rust-toolchain.toml pins the version it then fetches"
    need_program cc gcc "the cryptography library and SQLite are compiled from C"
}

# need_space GIGABYTES DIRECTORY: says so when fewer are free, before a linker says it in its own way.
need_space() {
    local free
    free=$(df -Pk "$2" | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    [ "$free" -ge "$1" ] || say "WARNING: $free GB are free at $2, and a run from the start takes up to $1; remove what other builds left"
}

STEPS=() TIMES=() FAILED=""
ONLY=("$@")

# Seconds that one check may take. The longest takes a third of it on two cores; one that hangs is to fail while somebody
# still waits, with what it said last.
LIMIT=1500

# within_limit PROGRAM…: the same, ended with all that it started when it takes too long or somebody interrupts us.
within_limit() {
    local running
    timeout --kill-after=10 "$LIMIT" "$@" &
    running=$!
    trap 'kill "$running" 2>/dev/null; exit 130' INT TERM
    wait "$running"
    set -- $?
    trap - INT TERM
    [ "$1" -ne 124 ] && [ "$1" -ne 137 ] || say "ended after $LIMIT s: it hangs"
    return "$1"
}

# step NAME PROGRAM…: runs one check, its output in a file; the first failure ends the run with that output last.
step() {
    local name=$1 start end log
    shift
    if [ ${#ONLY[@]} -gt 0 ] && [[ ! " ${ONLY[*]} " == *" $name "* ]]; then return 0; fi
    log="${TMPDIR:-/tmp}/tessera-test-$$-$name.log"
    printf '%-14s … ' "$name" >&2
    start=$(date +%s)
    if within_limit "$@" >"$log" 2>&1; then
        end=$(date +%s)
        say "ok    $((end - start)) s"
        grep -E '^test result: |^[0-9]+ passed, [0-9]+ failed' "$log" | grep -v ' 0 passed' | sed 's/^/    /' || true
        STEPS+=("$name") TIMES+=($((end - start)))
        rm -f "$log"
    else
        end=$(date +%s)
        say "FAILED after $((end - start)) s"
        FAILED=$name
        STEPS+=("$name") TIMES+=($((end - start)))
        finish "$log"
    fi
}

# finish [LOG]: where the time went, then the failing step's output, last.
finish() {
    local i total=0
    say ""
    say "where the time went:"
    for i in "${!STEPS[@]}"; do
        printf '  %5s s  %s\n' "${TIMES[$i]}" "${STEPS[$i]}" >&2
        total=$((total + TIMES[i]))
    done | sort -rn >&2
    for i in "${TIMES[@]}"; do total=$((total + i)); done
    say "  $total s in all"
    if [ -n "$FAILED" ]; then
        say ""
        say "---- $FAILED ----"
        tail -n 200 "$1" >&2
        say "---- $FAILED failed; its whole output is in $1 ----"
        printf '%d passed, 1 failed\n' $((${#STEPS[@]} - 1))
        exit 1
    fi
    printf '%d passed, 0 failed\n' "${#STEPS[@]}"
    exit 0
}
