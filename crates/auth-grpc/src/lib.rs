//! gRPC front of auth: authenticate the peer, decode, call, encode. No decisions.
