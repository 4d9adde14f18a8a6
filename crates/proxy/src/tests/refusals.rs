use http::StatusCode;

use super::world::{APP, PROXY, SESSION, get, text, world};

#[tokio::test]
async fn a_protocol_that_is_not_built_is_refused_in_its_own_words() {
    let world = world().await;
    for name in ["teleport-postgres", "teleport-mysql", "teleport-proxy-ssh"] {
        let refused = world.connect(PROXY, None, &[name.as_bytes()]).await.unwrap_err().to_string();
        assert!(refused.contains("NoApplicationProtocol"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_broken_request_to_join_is_told_as_programs_read_it() {
    let world = world().await;
    let mut sender = world.http(PROXY, None).await;
    for path in ["/v1/webapi/host/credentials", "/webapi/host/credentials"] {
        let mut request = get(PROXY, path);
        *request.method_mut() = http::Method::POST;
        *request.body_mut() = bytes::Bytes::from_static(b"{\"token\": 7, \"secret\": \"s3cr3t\"}").into();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let answer = text(response).await;
        let json: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert!(json["error"]["message"].as_str().unwrap().contains("line 1") && !answer.contains("s3cr3t"), "{json}");
    }
}

#[tokio::test]
async fn every_answer_of_ours_asks_for_tls_and_is_guarded() {
    let world = world().await;
    for (host, path) in [(PROXY, "/webapi/find"), (PROXY, "/nonsense"), (APP, "/"), (APP, "/teleport-logout")] {
        let mut sender = world.http(host, None).await;
        let response = sender.send_request(get(host, path)).await.unwrap();
        for name in ["strict-transport-security", "x-content-type-options", "cache-control"] {
            assert!(response.headers().contains_key(name), "{host}{path}: no {name}");
        }
    }
}

#[tokio::test]
async fn an_applications_answer_asks_for_tls_unless_it_says_otherwise_itself() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    for (path, expect) in [("/", "max-age=31536000"), ("/knows-better", "max-age=0")] {
        let response = sender.send_request(get(APP, path)).await.unwrap();
        let said: Vec<_> = response.headers().get_all("strict-transport-security").iter().cloned().collect();
        assert_eq!(said, [expect], "{path}");
        drop(text(response).await);
    }
}

#[tokio::test]
async fn what_clients_are_told_of_signing_in_is_what_the_cluster_says() {
    let world = world().await;
    let mut preference = (*world.proxy.view.preference()).clone();
    preference.spec.message_of_the_day = "be kind".into();
    preference.spec.second_factor = "otp".into();
    preference.spec.second_factors.clear();
    preference.spec.default_session_ttl = std::time::Duration::from_secs(3600);
    world.proxy.view.set_preference(preference);
    let mut sender = world.http(PROXY, None).await;
    let answer = text(sender.send_request(get(PROXY, "/webapi/find")).await.unwrap()).await;
    let found: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let auth = &found["auth"];
    assert_eq!((&auth["has_motd"], &auth["second_factor"]), (&true.into(), &"otp".into()));
    assert_eq!((&auth["default_session_ttl"], &auth["type"]), (&"1h0m0s".into(), &"local".into()));
    assert_eq!(auth["preferred_local_mfa"], "otp");
    let mut none = (*world.proxy.view.preference()).clone();
    none.spec.second_factor.clear();
    world.proxy.view.set_preference(none);
    let answer = text(sender.send_request(get(PROXY, "/webapi/find")).await.unwrap()).await;
    let found: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(found["auth"]["second_factor"], "off");
    assert!(found["auth"].get("preferred_local_mfa").is_none(), "there is no factor to prefer: {found}");
    let motd = text(sender.send_request(get(PROXY, "/webapi/motd")).await.unwrap()).await;
    assert_eq!(motd, r#"{"Text":"be kind"}"#);
}
