//! Logging, spans, the metrics registry (passed in, never global), field names, redaction.
