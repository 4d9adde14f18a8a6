//! Every audit event, declared once; journal entries, chain, checkpoints, sinks.
