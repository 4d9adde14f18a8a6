//! Typed repositories, written once over storage, and the cache fed by a change source.
