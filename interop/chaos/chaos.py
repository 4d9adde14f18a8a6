"""See `run`, which installs what this needs."""

import base64
import glob
import http.client
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

from relay import Relay

BIN, DIR = sys.argv[1:3]
CLUSTER = "chaos.example"
PROXY = "proxy.chaos.test"
ROLES = """kind: role
version: v7
metadata: {name: all-apps}
spec: {allow: {app_labels: {'*': '*'}}}
"""
STARTED = datetime.now(timezone.utc)
# Requests at a time, for each bot.
WORKERS = 3
# A request that takes longer has failed; the proxy's own patience with an agent that is gone is 4 s.
PATIENCE = 15
# Everything counts as back when both bots have had so many answers without a failure since.
IN_A_ROW = 12


# Our own loopback address: what is free there stays free, since connections are made from another one.
HOST = "127.{}.{}.{}".format(77 + os.getpid() // 65536 % 128, os.getpid() // 256 % 256, 1 + os.getpid() % 254)


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def write(name, text):
    with open(f"{DIR}/{name}", "w") as file:
        file.write(text)
    return f"{DIR}/{name}"


# --- applications ----------------------------------------------------------------------------------------------------
class Application(http.server.BaseHTTPRequestHandler):
    """Says its own name, who is asking by the word of the cluster, and what was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        token = self.headers.get("Teleport-Jwt-Assertion", "").split(".")
        claims = json.loads(base64.urlsafe_b64decode(token[1] + "==")) if len(token) == 3 else {}
        answer = {"app": self.server.app, "user": claims.get("username"), "sub": claims.get("sub"), "path": self.path}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        # The network between is what is being broken.
        pass


def application(name):
    server = Server(("127.0.0.1", 0), Application)
    server.app = name
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Relay(server.server_address)


# --- processes -------------------------------------------------------------------------------------------------------
class Process:
    """One of the cluster's programs; what it was started with starts it again. It has a clock of its own."""

    def __init__(self, name, *command, diag=None):
        self.name, self.command, self.diag, self.running = name, command, diag, None
        self.set_clock("+0")

    def set_clock(self, offset):
        """What the wall clock of the machine says, from now on; while the program runs, too."""
        write(f"{self.name}.new", f"{offset}\n")
        os.rename(f"{DIR}/{self.name}.new", f"{DIR}/{self.name}.clock")

    def start(self):
        log = open(f"{DIR}/{self.name}.log", "ab")
        environment = dict(
            os.environ,
            LD_PRELOAD="/usr/$LIB/faketime/libfaketimeMT.so.1",
            FAKETIME_TIMESTAMP_FILE=f"{DIR}/{self.name}.clock",
            FAKETIME_NO_CACHE="1",
            # Spans are measured by the other clock, which nobody sets.
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
        self.running = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)

    def kill(self, how=signal.SIGKILL):
        self.running.send_signal(how)
        self.running.wait()

    def wait_ready(self, seconds=30):
        host, port = self.diag.split(":")
        end, said = time.monotonic() + seconds, None
        while time.monotonic() < end and self.running.poll() is None:
            try:
                connection = http.client.HTTPConnection(host, int(port), timeout=2)
                connection.request("GET", "/readyz")
                response = connection.getresponse()
                if response.status == 200:
                    return
                said = response.read()
            except OSError as error:
                said = error
            time.sleep(0.05)
        raise SystemExit(f"{self.name} is not ready; exit code {self.running.poll()}, /readyz: {said}")

    def log(self):
        with open(f"{DIR}/{self.name}.log", errors="replace") as log:
            return log.read()


def tctl(*arguments, stdin=None):
    for _ in range(40):
        done = subprocess.run(
            [f"{BIN}/tctl", "-c", f"{DIR}/auth.yaml", *arguments], input=stdin, capture_output=True, text=True
        )
        if done.returncode == 0:
            return done.stdout
        time.sleep(0.25)
    raise SystemExit(f"tctl {arguments}: {done.stderr}")


# --- the bots' programs ----------------------------------------------------------------------------------------------
class Load:
    """Asks an application as a bot, again and again, and looks at each answer: with the bot's files, or by its listener."""

    def __init__(self, bot, app, port, listener=None):
        self.bot, self.app, self.port, self.listener = bot, app, port, listener
        self.lock = threading.Lock()
        self.answers, self.failures, self.in_a_row, self.last = 0, 0, 0, ""
        self.unanswered, self.wrong = 0, []
        self.number = 0
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        connection, used = None, 0
        while True:
            with self.lock:
                self.number += 1
                path = f"/{self.bot}/{self.app}/{self.number}"
            try:
                if connection is None:
                    connection, used = self._connect(), 0
                connection.request("GET", path, headers={"Host": "localhost" if self.listener else f"{self.app}.{PROXY}"})
                response = connection.getresponse()
                body = response.read()
                used += 1
                self._judge(path, response.status, body)
                # New connections as well as old ones.
                if response.status != 200 or used >= 20:
                    connection = connection.close()
            except (OSError, http.client.HTTPException, ValueError) as error:
                # What breaks in the middle of an answer cannot be asked for again by somebody in between.
                self.unanswered += not isinstance(error, http.client.IncompleteRead)
                self._failed(f"{type(error).__name__}: {error}")
                connection = None
            time.sleep(0.01 if connection else 0.05)

    def _connect(self):
        if self.listener:
            return http.client.HTTPConnection(HOST, self.listener, timeout=PATIENCE)
        out = f"{DIR}/{self.bot}-out"
        context = ssl.create_default_context(cafile=f"{out}/teleport-host-ca.crt")
        context.load_cert_chain(f"{out}/tlscert", f"{out}/key")
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection = http.client.HTTPConnection(f"{self.app}.{PROXY}", timeout=PATIENCE)
        connection.sock = context.wrap_socket(raw, server_hostname=f"{self.app}.{PROXY}")
        return connection

    def _judge(self, path, status, body):
        if status != 200:
            self.unanswered += 1
            return self._failed(f"{status}: {body[:200]!r}")
        answer, user = json.loads(body), f"bot-{self.bot}"
        expect = {"app": self.app, "user": user, "sub": user, "path": path}
        with self.lock:
            if answer != expect:
                self.wrong.append((expect, answer))
            self.answers += 1
            self.in_a_row += 1

    def _failed(self, why):
        with self.lock:
            self.failures += 1
            self.in_a_row = 0
            self.last = why

    def begin(self):
        with self.lock:
            self.in_a_row = 0


def wait_back(what, loads, within):
    """Until both bots have had answers in a row; says how long that took."""
    since = time.monotonic()
    for load in loads:
        load.begin()
    while any(load.in_a_row < IN_A_ROW for load in loads):
        if time.monotonic() - since > within:
            raise SystemExit(f"{what}: not back after {within} s: " + "; ".join(f"{l.bot}: {l.last}" for l in loads))
        time.sleep(0.02)
    took = time.monotonic() - since
    wrong = [fault for load in loads for fault in load.wrong]
    if wrong:
        raise SystemExit(f"{what}: {len(wrong)} answers of the wrong application or for the wrong bot, first {wrong[0]}")
    return took


# --- the cluster -----------------------------------------------------------------------------------------------------
def begin(processes):
    """Everything started: `processes` by name; relays by name, loads."""
    auth_port, proxy_port, listener = free_port(), free_port(), free_port()
    diag = {name: f"{HOST}:{free_port()}" for name in ("auth", "proxy", "agent")}
    relays = {
        "proxy and auth": Relay((HOST, auth_port)),
        "agent and proxy": Relay((HOST, proxy_port)),
        "bots and proxy": Relay((HOST, proxy_port)),
        "bot and auth": Relay((HOST, auth_port)),
        "agent and one": application("one"),
        "agent and two": application("two"),
    }
    head = "version: v3\nteleport:\n  nodename: {0}\n  data_dir: {1}/{0}-data\n  diag_addr: {2}\n"
    head += "  log: {{output: stderr, severity: INFO}}\n"
    write(
        "auth.yaml",
        head.format("auth", DIR, diag["auth"])
        + f"auth_service: {{enabled: yes, cluster_name: {CLUSTER}, listen_addr: '{HOST}:{auth_port}'}}\n"
        + "proxy_service: {enabled: no}\nssh_service: {enabled: no}\n",
    )
    start = lambda name: (f"{BIN}/tessera", "start", "-c", f"{DIR}/{name}.yaml")
    processes.update({name: Process(name, *start(name), diag=diag[name]) for name in diag})
    processes["auth"].start()
    processes["auth"].wait_ready()
    pin = re.search(r"sha256:[0-9a-f]{64}", tctl("status"))[0]
    token = re.search(r"The invite token: (\S+)", tctl("tokens", "add", "--type=proxy,app"))[1]
    joins = f"  join_params: {{method: token, token_name: {token}}}\n  ca_pin: '{pin}'\n"
    write(
        "proxy.yaml",
        head.format("proxy", DIR, diag["proxy"])
        + f"  auth_server: 127.0.0.1:{relays['proxy and auth'].port}\n{joins}"
        + f"proxy_service: {{web_listen_addr: '{HOST}:{proxy_port}', public_addr: '{PROXY}:{proxy_port}'}}\n",
    )
    uri = lambda app: f"http://127.0.0.1:{relays[f'agent and {app}'].port}"
    write(
        "agent.yaml",
        head.format("agent", DIR, diag["agent"])
        + f"  proxy_server: 127.0.0.1:{relays['agent and proxy'].port}\n{joins}"
        + f"app_service:\n  apps:\n  - {{name: one, uri: '{uri('one')}'}}\n  - {{name: two, uri: '{uri('two')}'}}\n",
    )
    for name in ("proxy", "agent"):
        processes[name].start()
    tctl("create", "-f", "-", stdin=ROLES)
    # The third one asks the auth service itself, for long: also while the clock there is wrong it gets certificates. The last
    # one makes the same requests for its programs.
    for bot, place, ttl, service in (
        ("a", f"proxy_server: 127.0.0.1:{relays['bots and proxy'].port}", "60s", "type: application, app_name: one"),
        ("b", f"proxy_server: 127.0.0.1:{relays['bots and proxy'].port}", "60s", "type: application, app_name: two"),
        ("c", f"auth_server: 127.0.0.1:{relays['bot and auth'].port}", "3h", "type: identity"),
        ("d", f"proxy_server: 127.0.0.1:{relays['bots and proxy'].port}", "60s", "type: application, app_name: one"),
    ):
        tunnel = f"- {{type: application-tunnel, app_name: one, listen: 'tcp://{HOST}:{listener}'}}\n"
        made = json.loads(tctl("bots", "add", bot, "--roles=all-apps", "--format=json"))
        os.makedirs(f"{DIR}/{bot}-out", mode=0o700)
        config = write(
            f"{bot}.yaml",
            f"version: v2\n{place}\ncredential_ttl: {ttl}\nrenewal_interval: 2s\n"
            f"onboarding: {{join_method: token, token: {made['token_id']}, ca_pins: ['{pin}']}}\n"
            f"storage: {{type: directory, path: {DIR}/{bot}-store}}\n"
            f"services:\n- {{{service}, destination: {{type: directory, path: {DIR}/{bot}-out}}}}\n"
            + tunnel * (bot == "d"),
        )
        processes[bot] = Process(bot, f"{BIN}/tbot", "start", "-c", config)
    for name in ("proxy", "agent"):
        processes[name].wait_ready()
    for bot in "abcd":
        processes[bot].start()
    port = relays["bots and proxy"].port
    end = time.monotonic() + 20
    while not all(os.path.exists(f"{DIR}/{bot}-out/tlscert") for bot in "abcd"):
        if time.monotonic() > end:
            raise SystemExit("the bots have no certificates")
        time.sleep(0.05)
    return relays, [Load("a", "one", port), Load("b", "two", port)], Load("d", "one", port, listener)


def serial(path):
    """The serial number of a certificate, as the audit log writes it."""
    with open(path) as file:
        der = ssl.PEM_cert_to_DER_cert(re.search(r"-----BEGIN.*?-----END CERTIFICATE-----\n?", file.read(), re.S)[0])

    # Certificate, its first part, its version, and then the number (RFC 5280 §4.1).
    def header(at):
        length, at = der[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(der[at : at + count], "big"), at + count
        return at, length

    at, _ = header(0)
    at, _ = header(at)
    version, length = header(at)
    at, length = header(version + length)
    return int.from_bytes(der[at : at + length], "big")


def wait_renewed(what, directories, within):
    """Until there is another certificate in each, twice: the first may have been asked for before."""
    for _ in range(2):
        before, since = {path: serial(f"{DIR}/{path}/tlscert") for path in directories}, time.monotonic()
        while late := [path for path in directories if serial(f"{DIR}/{path}/tlscert") == before[path]]:
            if time.monotonic() - since > within:
                raise SystemExit(f"{what}: no new certificate within {within} s: {late}")
            time.sleep(0.05)


def has_clock(process, offset, since):
    """Whether its clock is wrong by so much, by its own word since then."""
    if process.name == "auth":
        return f"your clock is 60 minutes {'behind' if offset == '+1h' else 'ahead'}" in tctl("status")
    found = re.findall(r"^\d\S+Z", process.log(), re.M)
    offset, now = timedelta(hours=int(offset[:-1])), datetime.now(timezone.utc)
    return any(since <= datetime.fromisoformat(at) - offset <= now for at in found)


def sessions_ended():
    """Looks at the ends of sessions in the audit log; says how many there are."""
    # By then the auth service has been there for some seconds by the right clock, and a session lives for a minute.
    lives, told_within = 60, 20

    def events(kind):
        found = json.loads(tctl("audit", "ls", f"--types=app.session.{kind}", "--format=json", "--limit=100000"))
        return [(event["sid"], datetime.fromisoformat(event["time"])) for event in found]

    # The first ones began about a minute ago.
    since = time.monotonic()
    while not (ended := events("end")) and time.monotonic() - since < told_within:
        time.sleep(0.5)
    now = datetime.now(timezone.utc)
    # One that began at the moment when the clock was set is on record with a time of its own.
    begun = {sid: at for sid, at in events("start") if STARTED <= at <= now}
    twice = len(ended) - len(dict(ended))
    # A bot that could not renew for a while holds sessions that are shorter than others.
    early = [sid for sid, at in ended if sid in begun and (at - begun[sid]).total_seconds() < lives / 3]
    old = [sid for sid, at in begun.items() if (now - at).total_seconds() > lives + told_within]
    missing = [sid for sid in old if sid not in dict(ended)]
    if twice or early or missing or not ended:
        raise SystemExit(f"ends of sessions: {len(ended)}, {twice} twice, too early {early}, missing {missing}")
    return len(ended)


def main():
    passed = 0

    def ok(text):
        nonlocal passed
        passed += 1
        print(f"ok: {text}", file=sys.stderr, flush=True)

    begun, processes = time.monotonic(), {}
    try:
        relays, loads, listener = begin(processes)
        ok(f"both bots are served by their applications after {wait_back('the start', [*loads, listener], 20):.1f} s")

        def episode(what, hurt, heal, hold, within, met=(), fails=False, check=lambda: True, is_short=False):
            """`met`: relays in which somebody must have met the fault; `fails`: requests must have; `check`: it is there;
            `is_short`: who asks by a bot's listener does not notice, since that repeats what has no answer."""
            unanswered = listener.unanswered
            failures, answers = (sum(getattr(load, name) for load in loads) for name in ("failures", "answers"))
            before = [relay.hurt for relay in met]
            hurt()
            time.sleep(hold)
            if not check() or any(relay.hurt == count for relay, count in zip(met, before)):
                raise SystemExit(f"{what}: nobody has met it")
            heal()
            took = wait_back(what, loads, within)
            failed = sum(load.failures for load in loads) - failures
            if fails and not failed:
                raise SystemExit(f"{what}: no request has met it")
            if is_short:
                wait_back(f"{what}: by the bot's listener", [listener], within)
                if listener.unanswered != unanswered:
                    raise SystemExit(f"{what}: a request that may be repeated failed at the bot's listener: {listener.last}")
            answered = sum(load.answers for load in loads) - answers
            ok(f"{what}: back after {took:.1f} s of at most {within}; {answered} answers, {failed} failures")

        for name, hold, within in (("agent", 0.3, 10), ("proxy", 0.3, 12), ("auth", 1.5, 10)):
            process = processes[name]
            episode(f"{name} killed", process.kill, process.start, hold, within, fails=name == "proxy", is_short=name != "agent")
        for name, within, fails in (
            ("bots and proxy", 3, True),
            ("agent and one", 3, True),
            ("agent and two", 3, True),
            ("agent and proxy", 8, False),
            ("proxy and auth", 8, False),
        ):
            relay = relays[name]
            is_short = name == "bots and proxy"
            episode(f"the network between {name} cut", relay.cut, relay.heal, 1.0, within, [relay], fails, is_short=is_short)
        for name, within in (("agent and proxy", 8), ("proxy and auth", 8), ("bots and proxy", 5), ("agent and one", 5)):
            relay = relays[name]
            episode(f"silence between {name}", relay.silence, relay.heal, 1.2, within, [relay])
        relay = relays["bot and auth"]
        episode("the network between bot and auth cut", relay.cut, relay.heal, 2.5, 3, [relay])
        wait_renewed("after the network between bot and auth was cut", ["c-store"], 10)
        slow = [relays[name] for name in ("agent and proxy", "proxy and auth", "bots and proxy")]
        all_of = lambda act: lambda: [act(relay) for relay in slow]
        episode("everything slow", all_of(lambda relay: relay.slow(0.15)), all_of(Relay.heal), 1.5, 8, slow)

        def fall_silent():
            """Those who have a session are served on, each answer by what was known last."""
            for name in "ab":
                processes[name].running.send_signal(signal.SIGSTOP)
            # By then nobody has a session that was not asked about, and then nobody an answer that is still good.
            time.sleep(1.5)
            processes["auth"].running.send_signal(signal.SIGSTOP)
            time.sleep(5.5)
            wait_back("while the auth service is silent", loads, 5)

        def speak():
            for name in ("auth", "a", "b"):
                processes[name].running.send_signal(signal.SIGCONT)

        episode("the auth service silent (SIGSTOP)", fall_silent, speak, 0, 10)
        for name, offset, is_running, within in (
            ("agent", "+1h", False, 12),
            ("proxy", "+1h", False, 12),
            ("auth", "+1h", False, 12),
            ("auth", "-1h", False, 12),
            ("auth", "+1h", True, 20),
            ("auth", "-1h", True, 20),
            ("c", "+1h", True, 5),
        ):

            def set_clock(offset, process=processes[name], is_running=is_running):
                if is_running:
                    return process.set_clock(offset)
                process.kill()
                process.set_clock(offset)
                process.start()

            when = "while it runs" if is_running else "when it starts"
            what = f"the clock of {name} at {offset}, {when}"
            hold = 1.5 if name in ("agent", "proxy") else 2.5
            check = lambda since=datetime.now(timezone.utc): has_clock(processes[name], offset, since)
            episode(what, lambda: set_clock(offset), lambda: set_clock("+0"), hold, within, check=check)
            if is_running:
                wait_renewed(f"{what}: and the bot at the auth service renews", ["c-store"], 25)
        everybody = [processes[name] for name in ("auth", "proxy", "agent")]
        together = lambda act: lambda: [act(process) for process in everybody]
        episode("all three killed", together(Process.kill), together(Process.start), 0.2, 20)

        wait_renewed("at last", [f"{bot}-{what}" for bot in "abcd" for what in ("store", "out")], 20)
        for bot in "abcd":
            processes[bot].kill(signal.SIGTERM)
        ok("all bots still renew")
        if json.loads(tctl("get", "locks", "--format=json")):
            raise SystemExit("somebody who behaved was locked: " + tctl("get", "locks"))
        events = json.loads(tctl("audit", "ls", "--types=cert.create", "--format=json", "--limit=100000"))
        recorded = {int(event["serial_number"].replace(":", ""), 16) for event in events}
        held = glob.glob(f"{DIR}/*-out/tlscert") + glob.glob(f"{DIR}/*-store/tlscert")
        lost = [path for path in held if serial(path) not in recorded]
        if not held or lost:
            raise SystemExit(f"certificates without a record: {lost} of {held}")
        tctl("audit", "verify")
        ok(f"{len(recorded)} certificates on record, {len(held)} held and all of them on record; the audit chain is whole")
        answers, failures = (sum(getattr(load, name) for load in loads) for name in ("answers", "failures"))
        ok(f"{sessions_ended()} sessions ended by themselves, each on record once and not before its time")
        if listener.wrong:
            raise SystemExit(f"by the bot's listener: {listener.wrong[0]}")
        ok(f"{answers} answers, each its own application's and for its own bot; {failures} requests without one")
        print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
        print(f"{passed} passed, 0 failed")
    except BaseException:
        for process in processes.values():
            if process.running:
                print(f"---- {process.name} ----", *process.log().splitlines()[-25:], sep="\n", file=sys.stderr)
        raise
    finally:
        for process in processes.values():
            if process.running:
                process.kill()


main()
