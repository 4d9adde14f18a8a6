"""See `run`: a server and clients of Python's `websockets`, through the proxy and through a tunnel of tbot."""

import asyncio
import http
import ssl
import sys

import websockets

APP, PROXY, OUT, TUNNEL = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
MEGABYTE = 1_000_000
closed = {}


async def serve(socket, path):
    """Answers what it is told; tells `closed` how the client went."""
    try:
        while True:
            message = await socket.recv()
            if message == "ping me":
                waiter = await socket.ping(b"from the server")
                await asyncio.wait_for(waiter, 5)
                await socket.send("pong came")
            elif message == "close":
                await socket.close(4001, "the server's wish")
            elif message == "headers":
                await socket.send("\n".join(f"{name}: {value}" for name, value in socket.request_headers.raw_items()))
            else:
                await socket.send(message)
    except websockets.ConnectionClosed:
        closed[path] = (socket.close_code, socket.close_reason)


async def refuse(path, _):
    return (http.HTTPStatus.FORBIDDEN, [("X-Reason", "no")], b"not here\n") if path.startswith("/refused") else None


async def gone(path):
    """How the client of this path went, by the server's word."""
    for _ in range(50):
        if path in closed:
            break
        await asyncio.sleep(0.1)
    return closed.get(path)


def check(what, expected, found):
    if expected != found:
        raise SystemExit(f"{what}: expected {expected!r:.200}, found {found!r:.200}")


async def walk(name, url, **options):
    async with websockets.connect(f"{url}/{name}/echo", subprotocols=["second"], max_size=None, **options) as socket:
        check(f"{name}: compression", ["permessage-deflate"], [extension.name for extension in socket.extensions])
        check(f"{name}: the protocol", "second", socket.subprotocol)
        for message in ("text ✓", b"\x00\xff bytes", "", "x" * MEGABYTE, bytes(range(256)) * (MEGABYTE // 256)):
            await socket.send(message)
            check(f"{name}: an echo", message, await socket.recv())
        # One message in many frames.
        await socket.send(part * 1000 for part in "abcdef")
        check(f"{name}: fragments", "".join(part * 1000 for part in "abcdef"), await socket.recv())
        await asyncio.wait_for(await socket.ping(b"from the client"), 5)
        await socket.send("ping me")
        check(f"{name}: the server's ping", "pong came", await socket.recv())
        # Many messages on the way at a time.
        for number in range(500):
            await socket.send(str(number))
        check(f"{name}: the order", [str(number) for number in range(500)], [await socket.recv() for _ in range(500)])
        await socket.send("headers")
        check(f"{name}: the assertion", 1, (await socket.recv()).lower().count("teleport-jwt-assertion: "))
        await socket.close(4002, "the client's wish")
    async with websockets.connect(f"{url}/{name}/plain", compression=None, max_size=None, **options) as socket:
        check(f"{name}: no compression", [], socket.extensions)
        await socket.send(b"\x07" * MEGABYTE)
        check(f"{name}: an echo without compression", b"\x07" * MEGABYTE, await socket.recv())
        await socket.send("close")
        try:
            await socket.recv()
            raise SystemExit(f"{name}: the server did not close")
        except websockets.ConnectionClosed as end:
            check(f"{name}: the server's close", (4001, "the server's wish"), (end.rcvd.code, end.rcvd.reason))
    try:
        await websockets.connect(f"{url}/refused", **options)
        raise SystemExit(f"{name}: a refused handshake was none")
    except websockets.InvalidStatusCode as refusal:
        check(f"{name}: a refused handshake", (403, "no"), (refusal.status_code, refusal.headers["X-Reason"]))
    check(f"{name}: the client's close", (4002, "the client's wish"), await gone(f"/{name}/echo"))
    # Somebody who is just gone.
    socket = await websockets.connect(f"{url}/{name}/gone", **options)
    await socket.send("hello")
    await socket.recv()
    socket.transport.abort()
    check(f"{name}: a client that is gone", (1006, ""), await gone(f"/{name}/gone"))

    async def one(number):
        async with websockets.connect(f"{url}/{name}/many", **options) as socket:
            for _ in range(5):
                await socket.send(f"number {number}")
                check(f"{name}: one of many", f"number {number}", await socket.recv())

    await asyncio.gather(*(one(number) for number in range(40)))


async def main():
    async with websockets.serve(
        serve, "127.0.0.1", APP, process_request=refuse, subprotocols=["first", "second"], max_size=None
    ):
        context = ssl.create_default_context(cafile=f"{OUT}/teleport-host-ca.crt")
        context.load_cert_chain(f"{OUT}/tlscert", f"{OUT}/key")
        place = {"host": "127.0.0.1", "port": PROXY, "ssl": context, "server_hostname": "sockets.proxy.test"}
        await walk("certificate", f"wss://sockets.proxy.test:{PROXY}", **place)
        await walk("tunnel", f"ws://127.0.0.1:{TUNNEL}")


asyncio.run(asyncio.wait_for(main(), 60))
