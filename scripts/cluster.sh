# Shared by scripts/quickstart and interop/*: a cluster in a directory of its own, on loopback, stopped by process id.
# The caller sets BIN (where tessera, tctl and tbot are) and DIR (an empty directory).

# free_port: a port that nobody listens on at this moment.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

# cluster_start [NAME [SUITE]]: writes $DIR/tessera.yaml and starts the server; AUTH, DIAG, PIN and SERVER (its pid) are set.
# SERVICES: YAML of the services beside the auth service; none unless it is set. DATA_DIR: where it keeps its state.
cluster_start() {
    local port diag
    port=$(free_port) diag=$(free_port)
    AUTH=127.0.0.1:$port DIAG=127.0.0.1:$diag CONFIG=$DIR/tessera.yaml
    cat >"$CONFIG" <<YAML
version: v3
teleport:
  nodename: ${1:-demo}
  data_dir: ${DATA_DIR:-$DIR/server}
  diag_addr: $DIAG
  log:
    output: $DIR/server.log
    severity: INFO
auth_service:
  enabled: yes
  cluster_name: ${1:-demo}.example
  listen_addr: $AUTH
${2:+  authentication: {signature_algorithm_suite: $2\}}
${SERVICES:-proxy_service:
  enabled: no}
ssh_service:
  enabled: no
YAML
    server_run || return 1
    PIN=$("$BIN/tctl" -c "$CONFIG" status | grep -o 'sha256:[0-9a-f]*' | head -1)
}

# server_run: (re)starts the server with the configuration that is there.
server_run() {
    "$BIN/tessera" start -c "$CONFIG" >>"$DIR/server.out" 2>&1 &
    SERVER=$!
    wait_for 20 curl -fsS --max-time 5 "http://$DIAG/readyz" || { cat "$DIR/server.out" "$DIR/server.log" >&2; return 1; }
}

# stop PID: ends a process that we started, and waits for it; one that does not end is killed.
stop() {
    [ -n "${1:-}" ] || return 0
    kill "$1" 2>/dev/null || return 0
    wait_for 30 ended "$1" || { echo "process $1 does not end: killed" >&2; kill -KILL "$1" 2>/dev/null; }
    wait "$1" 2>/dev/null || true
}

# ended PID: whether it runs no more; one that nobody has waited for yet has ended, too.
ended() { ! kill -0 "$1" || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }

tctl() { "$BIN/tctl" -c "$CONFIG" "$@"; }

# bot_config NAME TOKEN [TTL [INTERVAL]]: writes $DIR/NAME.yaml for a bot with an identity output in $DIR/NAME-out.
bot_config() {
    mkdir -p "$DIR/$1-out"
    chmod 700 "$DIR/$1-out"
    cat >"$DIR/$1.yaml" <<YAML
version: v2
auth_server: $AUTH
credential_ttl: ${3:-1h}
renewal_interval: ${4:-20m}
onboarding:
  join_method: token
  token: $2
  ca_pins: ["$PIN"]
storage:
  type: directory
  path: $DIR/$1-store
services:
  - type: identity
    name: demo
    destination:
      type: directory
      path: $DIR/$1-out
YAML
}

# new_bot NAME ROLE: makes the bot and prints its token.
new_bot() { tctl bots add "$1" --roles="$2" --format=json | python3 -c 'import json, sys; print(json.load(sys.stdin)["token_id"])'; }

# sshd_start USER_CA [REVOKED]: a real sshd on loopback that trusts the user CA; SSHD (pid) and SSHD_PORT are set.
sshd_start() {
    SSHD_PORT=$(free_port)
    [ -f "$DIR/sshd_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$DIR/sshd_key"
    cat >"$DIR/sshd_config" <<CONF
Port $SSHD_PORT
ListenAddress 127.0.0.1
HostKey $DIR/sshd_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
AuthorizedKeysFile none
PermitRootLogin prohibit-password
StrictModes no
TrustedUserCAKeys $1
LogLevel VERBOSE
CONF
    [ -z "${2:-}" ] || echo "RevokedKeys $2" >>"$DIR/sshd_config"
    [ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
    "$(PATH="$PATH:/usr/sbin" command -v sshd)" -D -e -f "$DIR/sshd_config" 2>>"$DIR/sshd.log" &
    SSHD=$!
    wait_for 30 bash -c "exec 3<>/dev/tcp/127.0.0.1/$SSHD_PORT"
}

# ssh_as LOGIN DIRECTORY COMMAND…: logs in with the artifacts of an output directory and nothing else.
ssh_as() {
    local login=$1 out=$2
    shift 2
    ssh -F /dev/null -i "$out/key" -o "CertificateFile=$out/key-cert.pub" -o IdentitiesOnly=yes -o IdentityAgent=none \
        -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ConnectTimeout=5 -p "$SSHD_PORT" "$login@127.0.0.1" "$@"
}
