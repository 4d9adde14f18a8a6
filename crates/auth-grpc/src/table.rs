//! Every method that is served: a row each, put together from one file per service.

use crate::{dispatch::Row, services};

/// All rows.
pub fn rows() -> Vec<Row> {
    [
        services::cluster::rows(),
        services::joining::rows(),
        services::certificates::rows(),
        services::apps::rows(),
        services::app_sessions::rows(),
        services::proxies::rows(),
        services::public_certificates::rows(),
        services::audit_log::rows(),
        services::authorities::rows(),
        services::cluster_config::rows(),
        services::status::rows(),
        services::inventory::rows(),
        services::tools::rows(),
        services::revocations::rows(),
        services::access::rows(),
        services::watch::rows(),
        services::later::rows(),
        services::roles::rows(),
        services::users::rows(),
        services::tokens::rows(),
        services::bots::rows(),
        services::bot_instances::rows(),
        services::locks::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
