//! SPIFFE IDs, trust domains, bundles: parse and render only.
