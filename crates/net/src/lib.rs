//! Listeners, framing with limits, connection limits per address.
