"""Verifies an assertion as an application would: with PyJWT, and the keys that the proxy publishes."""

import json
import socket
import ssl
import sys

import jwt

token_file, authorities, port, suite = sys.argv[1:5]
token = open(token_file).read()

context = ssl.create_default_context(cafile=authorities)
raw = socket.create_connection(("127.0.0.1", int(port)), timeout=10)
with context.wrap_socket(raw, server_hostname="proxy.test") as stream:
    stream.sendall(f"GET /.well-known/jwks.json HTTP/1.1\r\nHost: proxy.test:{port}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while chunk := stream.recv(65536):
        answer += chunk
head, _, body = answer.partition(b"\r\n\r\n")
assert head.startswith(b"HTTP/1.1 200"), head
keys = jwt.PyJWKSet.from_dict(json.loads(body)).keys

header = jwt.get_unverified_header(token)
algorithm = {"balanced-v1": "ES256", "legacy": "RS256"}[suite]
assert header["alg"] == algorithm and header["typ"] == "JWT", header
named = [key for key in keys if key.key_id == header.get("kid")]
assert len(named) == 1, f"the key {header.get('kid')} is {len(named)} times among {[key.key_id for key in keys]}"
audience = "http://127.0.0.1"


def verify(text, key=named[0].key, audience=audience):
    return jwt.decode(
        text, key, algorithms=[algorithm], audience=audience, issuer="jwt.example",
        options={"require": ["exp", "nbf", "iat", "iss", "aud", "sub"]},
    )


claims = verify(token)
assert claims["sub"] == claims["username"] == "bot-ci", claims
assert "debugger" in claims["roles"] or "bot-ci" in claims["roles"], claims
assert isinstance(claims["traits"], dict), claims

first, payload, signature = token.split(".")
changed = "A" if signature[10] != "A" else "B"
for what, call in {
    "a signature that was changed": lambda: verify(f"{first}.{payload}.{signature[:10]}{changed}{signature[11:]}"),
    "another application's": lambda: verify(token, audience="http://elsewhere"),
    "a payload of another": lambda: verify(f"{first}.{payload[:-2]}{'AA' if payload[-2:] != 'AA' else 'BB'}.{signature}"),
    "no signature": lambda: verify(f"{first}.{payload}."),
}.items():
    try:
        call()
    except jwt.InvalidTokenError:
        continue
    sys.exit(f"{what} was accepted")
print(f"{suite}: {header['alg']}, kid {header['kid']}, sub {claims['sub']}, roles {claims['roles']}")
