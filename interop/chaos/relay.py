"""A TCP relay that can be cut, fall silent, or become slow, while it runs."""

import select
import socket
import threading
import time


class Relay:
    """Carries connections to `target`.

    `cut` resets what there is and refuses what comes; `silence` lets connections stand and carries nothing; `slow` carries
    everything so many seconds late; `heal` is the network as it should be.
    """

    def __init__(self, target):
        self.target = target
        self.delay = 0.0
        self.is_silent = False
        self.is_cut = False
        # What was cut, held up or delayed: a fault that met nothing was none.
        self.hurt = 0
        self.pairs = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self.is_cut = True
        self.drop()

    def silence(self):
        self.is_silent = True

    def slow(self, seconds):
        self.delay = seconds

    def heal(self):
        self.is_cut, self.is_silent, self.delay = False, False, 0.0

    def drop(self):
        """Resets every connection."""
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        self.hurt += len(pairs)
        for pair in pairs:
            for end in pair:
                reset(end)

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            if self.is_cut:
                self.hurt += 1
                reset(near)
                continue
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near):
        try:
            far = socket.create_connection(self.target, timeout=5)
        except OSError:
            return reset(near)
        far.settimeout(None)
        pair = (near, far)
        with self.lock:
            self.pairs.add(pair)
        for end in pair:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threads = [threading.Thread(target=self._carry, args=ends, daemon=True) for ends in (pair, pair[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with self.lock:
            self.pairs.discard(pair)
        for end in pair:
            end.close()

    def _carry(self, source, sink):
        try:
            while True:
                readable, _, _ = select.select([source], [], [], 0.1)
                if self.is_silent:
                    self.hurt += bool(readable)
                    time.sleep(0.02)
                    continue
                if not readable:
                    continue
                data = source.recv(65536)
                if not data:
                    return sink.shutdown(socket.SHUT_WR)
                if self.delay:
                    self.hurt += 1
                    time.sleep(self.delay)
                sink.sendall(data)
        except (OSError, ValueError):
            for end in (source, sink):
                reset(end)


def reset(end):
    """Closes with a reset, as a network that is gone does not even do."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    try:
        end.close()
    except OSError:
        pass
