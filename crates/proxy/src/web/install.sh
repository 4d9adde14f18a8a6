say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "install.sh: $*" >&2; exit 1; }

usage() {
    cat <<TEXT
Sets up this machine as a member of the cluster $CLUSTER (Tessera $VERSION), with the programs that are on it.
Nothing is downloaded, and no file is replaced.

  sh install.sh                                    what there is, and what can be done
  sh install.sh app TOKEN NAME URI                 an agent that serves an application: configuration and unit
  sh install.sh bot TOKEN DIRECTORY                a bot that writes its certificates there: configuration and unit

TOKEN may be the path of a file that holds the token. Otherwise the token is written to a file beside the configuration.
TESSERA_CONFIG (/etc/tessera.yaml), TBOT_CONFIG (/etc/tbot.yaml) and UNITS (/etc/systemd/system) say where to.
TEXT
}

# has PROGRAM: whether it is here.
has() { command -v "$1" >/dev/null 2>&1; }

# need PROGRAM: ends when it is not here, with what to do.
need() {
    has "$1" || die "there is no $1 on this machine, and nothing is downloaded by this script.
Copy $1 of version $VERSION to a directory of your PATH, such as /usr/local/bin, from a machine that has it
(the one that runs $PROXY, or where your administrator keeps builds), and run this again."
    compare "$1"
}

# compare PROGRAM: says it when the program and the cluster are of different major versions.
compare() {
    found=$("$1" version 2>/dev/null | sed -n 's/^[A-Za-z]* v\([0-9][0-9A-Za-z.+-]*\).*/\1/p' | head -n 1)
    say "$1 is here: version ${found:-unknown}; the cluster runs $VERSION."
    if [ -n "$found" ] && [ "${found%%.*}" != "${VERSION%%.*}" ]; then
        printf '%s\n' "install.sh: versions differ by more than a minor one; take $1 of version $VERSION" >&2
    fi
}

# unit NAME COMMAND…: writes the unit that the command prints, unless there is one.
unit() {
    file=$UNITS/$1.service
    shift
    if [ ! -d "$UNITS" ] || [ ! -w "$UNITS" ]; then
        say "No unit was written: $UNITS is no directory that can be written to."
    elif [ -e "$file" ]; then
        say "The unit $file is there already and stays as it is."
    else
        "$@" >"$file" || { rm -f "$file"; die "the unit could not be made"; }
        chmod 644 "$file"
        say "The unit has been written to $file."
    fi
}

# keep TOKEN FILE VARIABLE: sets token_file to the path of the file that holds the token. A command line is seen by everybody on
# this machine; what the shell writes by itself is not.
keep() {
    case $1 in
        /*) token_file=$1 ;;
        *)
            case $2 in /*) token_file=$2 ;; *) token_file=$PWD/$2 ;; esac
            absent "$token_file" "$3"
            printf '%s\n' "$1" >"$token_file" || die "$token_file cannot be written"
            kept=yes
            ;;
    esac
}

# unmade: ends without a configuration, and without a file for its token.
unmade() {
    [ -z "${kept:-}" ] || rm -f "$token_file"
    die "the configuration could not be made"
}

# then_start NAME CONFIG MODE DIRECTORY…: how the service gets a user of its own, and is started.
then_start() {
    name=$1 config="$2 $token_file" mode=$3
    shift 3
    say "As root, then:"
    say "  useradd --system --home-dir $1 --shell /usr/sbin/nologin $name"
    say "  install -d -o $name -g $name -m $mode $*"
    say "  chown $name: $config"
    say "  systemctl daemon-reload && systemctl enable --now $name"
}

# absent FILE: ends when the file is there.
absent() { [ ! -e "$1" ] || die "$1 is there already; move it away, or name another with $2"; }

tell() {
    say "Cluster   $CLUSTER"
    say "Version   $VERSION"
    say "Proxy     $PROXY"
    for pin in $CA_PINS; do say "CA pin    $pin"; done
    say ""
    pins=
    for pin in $CA_PINS; do pins="$pins --ca-pin=$pin"; done
    found=
    if has tessera; then
        found=yes
        compare tessera
        say "To serve an application (an administrator makes the token: tctl tokens add --type=app):"
        say "  tessera start --roles=app --auth-server=$PROXY --token=TOKEN${pins} --app-name=NAME --app-uri=http://localhost:PORT"
        say "or, as a service:"
        say "  curl -fsS https://$PROXY/scripts/install.sh | sh -s -- app TOKEN NAME http://localhost:PORT"
        say ""
    fi
    if has tbot; then
        found=yes
        compare tbot
        say "To run a bot (an administrator makes it: tctl bots add NAME --roles=ROLE):"
        say "  tbot start identity --proxy-server=$PROXY --token=TOKEN${pins} --storage=DIRECTORY --destination=DIRECTORY"
        say "or, as a service:"
        say "  curl -fsS https://$PROXY/scripts/install.sh | sh -s -- bot TOKEN DIRECTORY"
        say ""
    fi
    [ -n "$found" ] || die "there is nothing to set up: neither tessera nor tbot is on this machine, and nothing is downloaded.
Copy the program of version $VERSION to a directory of your PATH, such as /usr/local/bin, from a machine that has it
(the one that runs $PROXY, or where your administrator keeps builds), and run this again."
}

app() {
    [ $# -eq 3 ] || { usage >&2; exit 2; }
    need tessera
    absent "$TESSERA_CONFIG" TESSERA_CONFIG
    keep "$1" "${TESSERA_CONFIG%.yaml}.token" TESSERA_CONFIG
    name=$2 uri=$3
    set --
    for pin in $CA_PINS; do set -- "$@" "--ca-pin=$pin"; done
    tessera configure --roles=app "--proxy=$PROXY" "--token=$token_file" "$@" "--app-name=$name" "--app-uri=$uri" \
        -o "$TESSERA_CONFIG" || unmade
    unit tessera tessera install systemd -c "$TESSERA_CONFIG"
    # Others walk through, to what the bot of this machine keeps there.
    then_start tessera "$TESSERA_CONFIG" 0711 /var/lib/teleport
}

bot() {
    [ $# -eq 2 ] || { usage >&2; exit 2; }
    need tbot
    absent "$TBOT_CONFIG" TBOT_CONFIG
    keep "$1" "${TBOT_CONFIG%.yaml}.token" TBOT_CONFIG
    directory=$2
    set --
    for pin in $CA_PINS; do set -- "$@" "--ca-pin=$pin"; done
    tbot configure identity "--proxy-server=$PROXY" "--token=$token_file" "$@" --join-method=token \
        --storage=/var/lib/tbot "--destination=$directory" -o "$TBOT_CONFIG" || unmade
    unit tbot tbot install systemd -c "$TBOT_CONFIG" --user=tbot --group=tbot
    then_start tbot "$TBOT_CONFIG" 0700 /var/lib/tbot "$directory"
}

# Called on the last line: a script that was cut short does nothing.
main() {
    umask 077
    TESSERA_CONFIG=${TESSERA_CONFIG:-/etc/tessera.yaml}
    TBOT_CONFIG=${TBOT_CONFIG:-/etc/tbot.yaml}
    UNITS=${UNITS:-/etc/systemd/system}
    case ${1:-} in
        "") tell ;;
        app) shift && app "$@" ;;
        bot) shift && bot "$@" ;;
        node) die "SSH hosts are not supported yet; this cluster serves applications and bots" ;;
        -h | --help | help) usage ;;
        *) usage >&2 && exit 2 ;;
    esac
}

main "$@"
