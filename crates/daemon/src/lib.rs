//! Composition root of the server: read the file, validate, choose adapters, build, run.
