//! Sessions with applications: the wire's calls, and our own for proxies and agents.

use api::{
    convert::timestamp,
    r#gen::{
        proto::{
            CreateAppSessionRequest, CreateAppSessionResponse, GenerateAppTokenResponse, GetAppSessionResponse,
            ListAppSessionsResponse,
        },
        tessera::v1::{
            AppAssertionResponse, AppSession, AppSessionLiveResponse, AppSessionReport, AppSessionReportResponse,
            app_session, app_session_report as seen,
        },
        types::{Metadata, WebSessionSpecV2, WebSessionV2},
    },
    methods::{
        proto::auth_service::{
            CreateAppSession, DeleteAllAppSessions, DeleteAppSession, DeleteUserAppSessions, GenerateAppToken,
            GetAppSession, ListAppSessions,
        },
        tessera::v1::app_sessions::{Assertion, Fetch, Live, Report},
    },
};
use auth::{
    Operation,
    app_sessions::{
        Holder, SessionId, Shown,
        assertion::{assertion, assertion_for_user},
        create::{Cookie, Route, create},
        end::{end, end_all, end_all_of},
        fetch::{Session, fetch},
        list::list,
        live::live,
        report::{self, DialDenied, Requests, Seen, report},
    },
};
use clock::Timestamp;
use domain::Error;

use super::wire::page_size;
use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    [wire_rows(), own_rows()].into_iter().flatten().collect()
}

fn wire_rows() -> Vec<Row> {
    const DELETE: Operation = Operation::DeleteAppSession;
    vec![
        unary::<CreateAppSession, _, _>(
            Who::Authenticated,
            Operation::CreateAppSession,
            |context, request| async move {
                let CreateAppSessionRequest { username, app_name, public_addr, cluster_name, .. } = request;
                let route = Route { name: app_name, public_addr, cluster_name, target_port: 0 };
                let cookie = create(&context.auth, &context.caller, &username, route).await?;
                Ok(CreateAppSessionResponse { session: Some(of_cookie(cookie, context.auth.clock().now())) })
            },
        ),
        unary::<GetAppSession, _, _>(Who::Authenticated, Operation::FetchAppSession, |context, request| async move {
            let id = SessionId::new(request.session_id);
            let session = fetch(&context.auth, &context.caller, &id).await?;
            Ok(GetAppSessionResponse { session: Some(of_session(&id, &session)?) })
        }),
        unary::<ListAppSessions, _, _>(Who::Authenticated, Operation::ReadAppSessions, |context, request| async move {
            let user = (!request.user.is_empty()).then_some(request.user.as_str());
            let size = page_size(request.page_size)?;
            let (found, next_page_token) =
                list(&context.auth, &context.caller, user, size, &request.page_token).await?;
            Ok(ListAppSessionsResponse { sessions: found.iter().map(of_shown).collect(), next_page_token })
        }),
        unary::<GenerateAppToken, _, _>(
            Who::Authenticated,
            Operation::SignAppAssertion,
            |context, request| async move {
                let found = assertion_for_user(&context.auth, &context.caller, &request.username, &request.uri).await?;
                Ok(GenerateAppTokenResponse { token: found.token })
            },
        ),
        unary::<DeleteAppSession, _, _>(Who::Authenticated, DELETE, |context, request| async move {
            end(&context.auth, &context.caller, &SessionId::new(request.session_id)).await
        }),
        unary::<DeleteUserAppSessions, _, _>(Who::Authenticated, DELETE, |context, request| async move {
            end_all_of(&context.auth, &context.caller, &request.username).await
        }),
        unary::<DeleteAllAppSessions, _, _>(Who::Authenticated, DELETE, |context, ()| async move {
            end_all(&context.auth, &context.caller).await
        }),
    ]
}

fn own_rows() -> Vec<Row> {
    vec![
        unary::<Fetch, _, _>(Who::Authenticated, Operation::FetchAppSession, |context, request| async move {
            let session = fetch(&context.auth, &context.caller, &SessionId::new(request.session_id)).await?;
            Ok(whole(session, context.auth.cluster()))
        }),
        unary::<Live, _, _>(Who::Authenticated, Operation::CheckAppSession, |context, request| async move {
            let found = live(&context.auth, &context.caller, &SessionId::new(request.session_id)).await?;
            Ok(found.map_or_else(AppSessionLiveResponse::default, |found| AppSessionLiveResponse {
                live: true,
                not_after: Some(timestamp(found.not_after)),
                target_port: found.target_port.into(),
            }))
        }),
        unary::<Assertion, _, _>(Who::Authenticated, Operation::SignAppAssertion, |context, request| async move {
            let id = SessionId::new(request.session_id);
            let found = assertion(&context.auth, &context.caller, &id, &request.app_name).await?;
            Ok(AppAssertionResponse { token: found.token, expires: Some(timestamp(found.expires)) })
        }),
        unary::<Report, _, _>(Who::Authenticated, Operation::EmitEvent, |context, request| async move {
            let reports = request.reports.into_iter().filter_map(read_report).collect();
            report(&context.auth, &context.caller, reports).await.map(|()| AppSessionReportResponse {})
        }),
    ]
}

/// None for what a newer agent reports, and for a certificate that is none.
fn read_report(wire: AppSessionReport) -> Option<report::Report> {
    let certificate = crypto::x509::Certificate::from_der(&wire.certificate).ok()?;
    let seen = match wire.seen? {
        seen::Seen::Refused(reason) => Seen::Refused(reason),
        seen::Seen::Chunk(id) => Seen::Chunk(id),
        seen::Seen::Cut(reason) => Seen::Cut(reason),
        seen::Seen::Mismatch(reason) => Seen::Mismatch(reason),
        seen::Seen::Requests(chunk) => {
            let like = chunk.requests.into_iter();
            let like = like.map(|wire| Requests {
                method: wire.method,
                path: wire.path,
                status: wire.status_code,
                count: wire.count,
            });
            Seen::Requests(chunk.chunk_id, like.collect())
        }
        seen::Seen::DialDenied(wire) => Seen::DialDenied(DialDenied {
            target: (wire.target_host, wire.target_port),
            resolved: wire.resolved_ips,
            blocked: wire.blocked_ip,
            prefix: wire.blocked_prefix,
            policy: wire.policy,
        }),
    };
    Some(report::Report { certificate, client: wire.client_addr, seen })
}

fn whole(session: Session, cluster: &str) -> AppSession {
    AppSession {
        sid: session.sid,
        user: session.user,
        app_name: session.app,
        public_addr: session.public_addr,
        cluster_name: cluster.to_owned(),
        target_port: session.target_port.into(),
        not_after: Some(timestamp(session.not_after)),
        holder: Some(match session.holder {
            Holder::Key(hash) => app_session::Holder::ClientKey(hash.to_vec()),
            Holder::Bearer(hash) => app_session::Holder::BearerHash(hash.to_vec()),
        }),
        certificate: session.certificate.der().to_vec(),
        private_key: session.private_key.expose().to_vec(),
    }
}

fn message(name: &str, not_after: Timestamp, spec: WebSessionSpecV2) -> WebSessionV2 {
    WebSessionV2 {
        kind: "web_session".to_owned(),
        sub_kind: "app_session".to_owned(),
        version: "v2".to_owned(),
        metadata: Some(Metadata {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            expires: Some(timestamp(not_after)),
            ..Metadata::default()
        }),
        spec: Some(WebSessionSpecV2 { expires: Some(timestamp(not_after)), ..spec }),
    }
}

fn of_cookie(cookie: Cookie, now: Timestamp) -> WebSessionV2 {
    let spec = WebSessionSpecV2 {
        user: cookie.user,
        bearer_token: cookie.bearer.expose().to_owned(),
        bearer_token_expires: Some(timestamp(cookie.not_after)),
        login_time: Some(timestamp(now)),
        ..WebSessionSpecV2::default()
    };
    message(cookie.id.expose(), cookie.not_after, spec)
}

fn of_session(id: &SessionId, session: &Session) -> Result<WebSessionV2, Error> {
    let key = crypto::KeyPair::from_pkcs8_der(session.private_key.expose())
        .and_then(|key| key.to_pkcs8_pem())
        .map_err(|_| Error::internal("the key of a session cannot be read"))?;
    let spec = WebSessionSpecV2 {
        user: session.user.clone(),
        tls_cert: session.certificate.to_pem().into_bytes(),
        tls_priv: key.expose().as_bytes().to_vec(),
        login_time: Some(timestamp(session.created)),
        ..WebSessionSpecV2::default()
    };
    Ok(message(id.expose(), session.not_after, spec))
}

/// In lists a session has the name that logs call it by, which is good for nothing.
fn of_shown(shown: &Shown) -> WebSessionV2 {
    let spec = WebSessionSpecV2 {
        user: shown.user.clone(),
        login_time: Some(timestamp(shown.created)),
        ..WebSessionSpecV2::default()
    };
    message(&shown.sid, shown.not_after, spec)
}
