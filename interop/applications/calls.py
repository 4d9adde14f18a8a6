"""See `run`: the C core of gRPC, with the application's certificate through the proxy, calls gRPC's own test service.

The messages are those of grpc/testing/messages.proto, written by hand.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

PROXY, OUT = sys.argv[1:3]
SERVICE = "/grpc.testing.TestService/"


def varint(number):
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def payload(size, field=3):
    return block(field, block(2, b"\0" * size))


def simple(response, request, status=b""):
    return number(2, response) + payload(request) + status


def streaming(sizes, pause=0, request=0, status=b""):
    asked = b"".join(block(2, number(1, size) + number(2, pause)) for size in sizes)
    return asked + payload(request) + status


def status(code, message):
    return block(7, number(1, code) + block(2, message.encode()))


def check(what, expected, found):
    if expected != found:
        raise SystemExit(f"{what}: expected {expected!r:.200}, found {found!r:.200}")


def failure(what, call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise SystemExit(f"{what}: no error")


def read(name):
    with open(f"{OUT}/{name}", "rb") as file:
        return file.read()


credentials = grpc.ssl_channel_credentials(read("teleport-host-ca.crt"), read("key"), read("tlscert"))
options = [("grpc.ssl_target_name_override", "rpc.proxy.test"), ("grpc.max_receive_message_length", -1)]
channel = grpc.secure_channel(f"127.0.0.1:{PROXY}", credentials, options)
unary = channel.unary_unary(SERVICE + "UnaryCall")
empty = channel.unary_unary(SERVICE + "EmptyCall")
from_server = channel.unary_stream(SERVICE + "StreamingOutputCall")
to_server = channel.stream_unary(SERVICE + "StreamingInputCall")
both = channel.stream_stream(SERVICE + "FullDuplexCall")
within = {"timeout": 20}

check("an empty call", b"", empty(b"", **within))
check("a unary call", payload(314159, field=1), unary(simple(314159, 271828), **within))
check("3 MB both ways", payload(3_000_000, field=1), unary(simple(3_000_000, 3_000_000), **within))
sizes = [31415, 9, 2653, 58979]
expected = [payload(size, field=1) for size in sizes]
check("a server's stream", expected, list(from_server(streaming(sizes), **within)))
check("a client's stream", number(1, sum(sizes)), to_server((payload(size, field=1) for size in sizes), **within))
check("no messages", number(1, 0)[:0], to_server(iter(()), **within))


def ping_pong():
    """Each answer is waited for before the next question: nothing may be held back."""
    from queue import SimpleQueue

    questions = SimpleQueue()
    answers = both(iter(questions.get, None), **within)
    for size in sizes:
        questions.put(streaming([size], request=size))
        check("ping pong", payload(size, field=1), next(answers))
    questions.put(None)
    check("the end of ping pong", [], list(answers))


ping_pong()
check("nothing both ways", [], list(both(iter(()), **within)))

echoed = (("x-grpc-test-echo-initial", "initial"), ("x-grpc-test-echo-trailing-bin", b"\xab\x00\xff"))
_, call = unary.with_call(simple(1, 1), metadata=echoed, **within)
check("initial metadata", "initial", dict(call.initial_metadata())["x-grpc-test-echo-initial"])
check("trailing metadata", b"\xab\x00\xff", dict(call.trailing_metadata())["x-grpc-test-echo-trailing-bin"])

message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
error = failure("an error", lambda: unary(simple(0, 0, status(2, message)), **within))
check("an error", (grpc.StatusCode.UNKNOWN, message), (error.code(), error.details()))
error = failure("an error of a stream", lambda: list(both(iter([streaming([], status=status(9, "no"))]), **within)))
check("an error of a stream", (grpc.StatusCode.FAILED_PRECONDITION, "no"), (error.code(), error.details()))
error = failure("an unknown method", lambda: channel.unary_unary(SERVICE + "Nothing")(b"", **within))
check("an unknown method", grpc.StatusCode.UNIMPLEMENTED, error.code())

begun = time.monotonic()
slow = streaming([1, 1], pause=10_000_000)
error = failure("a deadline", lambda: list(from_server(slow, timeout=0.5)))
check("a deadline", grpc.StatusCode.DEADLINE_EXCEEDED, error.code())
check("the deadline is kept", True, time.monotonic() - begun < 3)

answers = both(iter([streaming([100]), slow]), **within)
check("before the cancel", payload(100, field=1), next(answers))
answers.cancel()
error = failure("a cancel", lambda: list(answers))
check("a cancel", grpc.StatusCode.CANCELLED, error.code())

with ThreadPoolExecutor(40) as pool:
    found = list(pool.map(lambda size: unary(simple(size, 5000), **within), range(1, 401)))
check("400 calls, 40 at a time", [payload(size, field=1) for size in range(1, 401)], found)
channel.close()
