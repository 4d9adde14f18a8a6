//! `debug_service:`: the debug socket in the data directory.

use serde::Serialize;

use crate::config::fields::Fields;

/// The debug socket in the data directory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DebugService {
    /// Whether it is there; it is unless switched off.
    pub enabled: bool,
}

pub(super) fn read(fields: &Fields<'_>) -> DebugService {
    let service = DebugService { enabled: fields.flag("enabled").unwrap_or(true) };
    fields.finish();
    service
}
