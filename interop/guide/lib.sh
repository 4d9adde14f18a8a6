# Shared by interop/guide/*: a machine with users, names and a public certificate of its own, put back at the end.

# The public address: a loopback address of our own, so that port 443 is free.
PUBLIC=127.77.0.1
PASSED=0 USERS=() STARTED=$SECONDS

ok() { PASSED=$((PASSED + 1)); say "ok: $*"; }

# begin NAME: DIR, which other users may walk through, and TBOT in it, where they can run it.
begin() {
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/tessera-$1.XXXXXX")
    chmod 755 "$DIR"
    mkdir -p "$DIR/usr/local/bin"
    install -m 755 "$BIN/tbot" "$DIR/usr/local/bin/tbot"
    TBOT=$DIR/usr/local/bin/tbot
}

# result: says how many checks there were, in the form that scripts/test shows.
result() {
    say "$((SECONDS - STARTED)) s"
    echo "$PASSED passed, 0 failed"
}

# tails FILE…: the ends of logs.
tails() {
    local log
    for log in "$@"; do
        [ -s "$DIR/$log" ] || continue
        say "---- $log ----"
        tail -n 25 "$DIR/$log" >&2
    done
}

# finish_guide: puts the machine back.
finish_guide() {
    local user
    unnamed
    for user in "${USERS[@]}"; do userdel "$user" 2>/dev/null || true; done
    rm -rf "$DIR"
}

# user NAME: a system user; one that was not there goes again at the end.
user() {
    getent passwd "$1" >/dev/null && return 0
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$1"
    USERS+=("$1")
}

# as USER COMMAND…: with that user's rights and no others.
as() {
    local name=$1
    shift
    (cd / && exec setpriv --reuid="$name" --regid="$(id -g "$name")" --init-groups --no-new-privs "$@")
}

# as_program_start COMMAND…: becomes the command, as the user app; for the background.
as_program_start() { cd / && exec setpriv --reuid=app --regid="$(id -g app)" --init-groups --no-new-privs "$@"; }

# names ADDRESS NAME…: lines in /etc/hosts, until unnamed.
names() { printf '%s # tessera-guide\n' "$*" >>/etc/hosts; }
# The file is often mounted on its own and cannot be replaced, only written.
unnamed() {
    local kept
    kept=$(grep -v '# tessera-guide$' /etc/hosts) && printf '%s\n' "$kept" >/etc/hosts
}

# public_certificate NAME…: what a public authority would have given to a web server; $DIR/ca.crt is that authority.
public_certificate() {
    local names
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=A public authority" \
        -addext basicConstraints=critical,CA:TRUE -keyout "$DIR/ca.key" -out "$DIR/ca.crt" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$DIR/web.key" -out "$DIR/web.csr" 2>/dev/null
    names=$(printf ',DNS:%s' "$@")
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names#,}" >"$DIR/web.ext"
    openssl x509 -req -in "$DIR/web.csr" -CA "$DIR/ca.crt" -CAkey "$DIR/ca.key" -CAcreateserial -days 1 \
        -extfile "$DIR/web.ext" -out "$DIR/web.crt" 2>/dev/null
}

# unit_start, unit_reload: what systemd would do with $UNIT; the log goes to $DIR/journal, BOT is the main process.
unit_value() { sed -n "s/^$1=//p" "$UNIT"; }
unit_start() {
    # shellcheck disable=SC2046
    (umask 077 && cd / && exec setpriv --reuid="$(unit_value User)" --regid="$(id -g "$(unit_value Group)")" --init-groups \
        --no-new-privs --bounding-set=-all --inh-caps=-all $(unit_value ExecStart)) >>"$DIR/journal" 2>&1 &
    BOT=$!
}
unit_reload() { MAINPID=$BOT bash -c "$(unit_value ExecReload)"; }
