use http::{StatusCode, header};

use super::world::{CLUSTER, PROXY, get, text, world};

#[tokio::test]
async fn an_install_script_says_what_is_known_here_and_nothing_that_a_client_made_up() {
    let world = world().await;
    let pin = world.hosts.certificate().pin();
    let app = "/scripts/t0k-en/install-app.sh?name=grafana&uri=http%3A%2F%2Flocalhost%3A3000";
    for (path, preset) in [
        ("/scripts/install.sh", None),
        ("/scripts/t0k-en/install-node.sh", Some("set -- 'node'\n")),
        (app, Some("set -- 'app' 't0k-en' 'grafana' 'http://localhost:3000'\n")),
    ] {
        let mut request = get(PROXY, path);
        request.headers_mut().insert("x-forwarded-host", "evil.example".parse().unwrap());
        let response = world.http(PROXY, None).await.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/x-shellscript; charset=utf-8");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let script = text(response).await;
        let known = format!("CLUSTER='{CLUSTER}'\nVERSION='{}'\n", env!("CARGO_PKG_VERSION"));
        let known = format!("{known}PROXY='proxy.example:3080'\nCA_PINS='{pin}'\n");
        assert!(script.starts_with("#!/bin/sh\n") && script.contains(&known), "{script}");
        assert!(script.ends_with("\nmain \"$@\"\n"), "a script that is cut short does nothing");
        assert!(script.contains("\"$TESSERA_CONFIG\" 0711 /var/lib/teleport"), "the bot's own lies within");
        assert_eq!(script.contains("set -- '"), preset.is_some(), "{path}");
        assert!(preset.is_none_or(|preset| script.contains(preset)) && !script.contains("evil"), "{script}");
    }
    for (path, status) in [
        ("/scripts/a'b/install-node.sh", StatusCode::BAD_REQUEST),
        ("/scripts/$(id)/install-app.sh?name=a&uri=http://b", StatusCode::BAD_REQUEST),
        ("/scripts//install-node.sh", StatusCode::BAD_REQUEST),
        ("/scripts/t/install-app.sh", StatusCode::BAD_REQUEST),
        ("/scripts/t/install-app.sh?name=a'b&uri=http://b", StatusCode::BAD_REQUEST),
        ("/scripts/t/install-app.sh?name=a&uri=http://b%27%3Bid", StatusCode::BAD_REQUEST),
        ("/scripts/t/install-app.sh?name=a&uri=http://b%0aid", StatusCode::BAD_REQUEST),
        ("/scripts/t/u/install-app.sh?name=a&uri=http://b", StatusCode::NOT_FOUND),
        ("/scripts/t/install-database.sh", StatusCode::NOT_FOUND),
        ("/scripts/", StatusCode::NOT_FOUND),
    ] {
        let response = world.http(PROXY, None).await.send_request(get(PROXY, path)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let answer = text(response).await;
        assert!(!answer.contains("id") || !answer.contains("$("), "{path}: {answer}");
        assert!(!answer.contains("#!/bin/sh"), "{path}: {answer}");
    }
    world.proxy.view.set_authorities(Vec::new());
    let response = world.http(PROXY, None).await.send_request(get(PROXY, "/scripts/install.sh")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}
