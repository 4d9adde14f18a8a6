//! Supervised tasks, readiness, drain, soft and hard stop, reload, the diagnostics endpoint.
