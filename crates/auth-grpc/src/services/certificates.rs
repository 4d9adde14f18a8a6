//! Certificates for users and bots.

use api::{
    r#gen::proto::{RouteToApp, UserCertsRequest, user_certs_request::CertUsage},
    methods::proto::auth_service::GenerateUserCerts,
};
use auth::{
    Operation,
    app_sessions::create::Route,
    certificates::user::{UserCertificates, issue},
};
use domain::Error;

use super::keys::{certs, ssh_key, time, tls_key};
use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    vec![unary::<GenerateUserCerts, _, _>(
        Who::Authenticated,
        Operation::IssueUserCertificates,
        |context, request| async move {
            let request = decode(request)?;
            issue(&context.auth, &context.caller, request).await.map(|issued| certs(&issued))
        },
    )]
}

fn decode(request: UserCertsRequest) -> Result<UserCertificates, Error> {
    let unsupported = unsupported(&request);
    // The older form: one key for both certificates.
    let both = ssh_key("PublicKey", &request.public_key)?;
    let (tls, ssh) = if both.is_some() {
        (both.clone(), both)
    } else {
        (tls_key("TLSPublicKey", &request.tls_public_key)?, ssh_key("SSHPublicKey", &request.ssh_public_key)?)
    };
    Ok(UserCertificates {
        username: request.username,
        tls_key: tls,
        ssh_key: ssh,
        expires: time(request.expires.as_ref()),
        role_requests: request.role_requests,
        use_role_requests: request.use_role_requests,
        reissuable: request.reissuable_role_impersonation,
        route_to_cluster: request.route_to_cluster,
        route_to_app: request.route_to_app.filter(|route| !route.name.is_empty()).map(route).transpose()?,
        unsupported,
    })
}

fn route(route: RouteToApp) -> Result<Route, Error> {
    let target_port = u16::try_from(route.target_port)
        .map_err(|_| Error::invalid(format!("RouteToApp.TargetPort: {} is no port", route.target_port)))?;
    Ok(Route { name: route.name, public_addr: route.public_addr, cluster_name: route.cluster_name, target_port })
}

/// What the request routes to and this server does not serve yet. An empty route is none.
fn unsupported(request: &UserCertsRequest) -> Option<&'static str> {
    let has = |is: bool, what| is.then_some(what);
    let has_identity = |route: &RouteToApp| {
        [&route.aws_role_arn, &route.azure_identity, &route.gcp_service_account]
            .into_iter()
            .any(|name| !name.is_empty())
    };
    has(request.route_to_app.as_ref().is_some_and(has_identity), "a cloud's console as application")
        .or(has(
            request.route_to_database.as_ref().is_some_and(|route| !route.service_name.is_empty()),
            "a certificate for a database",
        ))
        .or(has(
            request.route_to_windows_desktop.as_ref().is_some_and(|route| !route.windows_desktop.is_empty()),
            "a certificate for a Windows desktop",
        ))
        .or(has(
            matches!(request.usage(), CertUsage::Kubernetes) || !request.kubernetes_cluster.is_empty(),
            "a certificate for a Kubernetes cluster",
        ))
        .or(has(
            matches!(request.usage(), CertUsage::Database | CertUsage::WindowsDesktop),
            "a certificate for a database or a Windows desktop alone",
        ))
        .or(has(
            request.usage() == CertUsage::App
                && request.route_to_app.as_ref().is_none_or(|route| route.name.is_empty()),
            "a certificate for applications without a RouteToApp",
        ))
        .or(has(!request.access_requests.is_empty(), "a certificate with access requests"))
}
