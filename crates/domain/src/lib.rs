//! What the system is about: resources with their documents, identities, labels, ids, names, error kinds.
