//! Every call, attacked by everybody who must not make it. The table is the server's own: a new row is attacked at once,
//! and fails here until somebody has written down what it is expected to do.

use std::{collections::BTreeSet, time::Duration};

use api::methods;
use auth::Trace;
use auth_grpc::{dispatch::Who, table};
use clock::Clock;
use testkit::Cluster;

use crate::support::{
    people,
    raw::{Raw, code},
    requests::{self, Nobody},
};

/// The whole list of what a stranger reaches.
const STRANGERS: &[&str] = &[
    "/proto.AuthService/GetClusterCACert",
    "/proto.AuthService/GetDomainName",
    "/proto.AuthService/Ping",
    "/proto.JoinService/RegisterUsingAzureMethod",
    "/proto.JoinService/RegisterUsingBoundKeypairMethod",
    "/proto.JoinService/RegisterUsingIAMMethod",
    "/proto.JoinService/RegisterUsingOracleMethod",
    "/proto.JoinService/RegisterUsingTPMMethod",
    "/proto.JoinService/RegisterUsingToken",
    "/teleport.join.v1.JoinService/Join",
    "/tessera.v1.RenewalService/Renew",
];

/// Bytes that are no message of ours, no message at all, and a message whose field claims more than there is.
const GARBAGE: &[&[u8]] = &[b"", b"\xff\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0fx"];

#[test]
fn the_table_of_rows_is_the_one_that_is_expected() {
    let rows: BTreeSet<&str> = table::rows().iter().map(|row| row.path).collect();
    let ours = methods::ALL.iter().filter(|call| !methods::OF_PROXIES.contains(&call.service));
    let declared: BTreeSet<&str> = ours.map(|call| call.path).collect();
    assert_eq!(rows, declared, "a row without a method, or a method without a row");
    let open: BTreeSet<&str> = table::rows().iter().filter(|row| row.who == Who::Anyone).map(|row| row.path).collect();
    assert_eq!(open, STRANGERS.iter().copied().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_refused_to_whoever_must_not_make_it() {
    let cluster = Cluster::start().await;
    let stage = requests::furnish(&cluster).await;
    let calls = requests::all(&stage);
    let joining = |path: &str| STRANGERS.contains(&path) && !calls.iter().any(|call| call.path == path);
    let admin = cluster.admin().await;
    people::role(&admin, "nothing", serde_json::json!({})).await;
    let nobody = people::user(&admin, "nobody", &["nothing"], 600).await;
    let before = changes_in_the_journal(&cluster).await;

    let stranger = Raw::stranger(cluster.address()).await;
    let nobody = Raw::with(cluster.address(), nobody.chain()).await;
    let mut wrong = Vec::new();
    for row in table::rows() {
        let mine: Vec<_> = calls.iter().filter(|call| call.path == row.path).collect();
        if mine.is_empty() && !joining(row.path) {
            wrong.push(format!("{}: nobody has written down what is expected of it", row.path));
        }
        let bodies = mine.iter().map(|call| call.message.as_slice()).chain(GARBAGE.iter().copied());
        for body in bodies.filter(|_| row.who == Who::Authenticated) {
            let answer = stranger.call(row.path, body).await;
            if !answer.is(code::PERMISSION_DENIED) || !answer.data.is_empty() {
                wrong.push(format!("{} from a stranger: {answer:?}", row.path));
            }
        }
        // What is decoded before anybody asks may be called invalid; a change never succeeds.
        for body in GARBAGE {
            let answer = nobody.call(row.path, body).await;
            if row.operation.trace() != Trace::Read && answer.is_success() && !may_begin(row.path) {
                wrong.push(format!("{} with {body:?} from nobody: {answer:?}", row.path));
            }
        }
        for call in mine {
            let answer = nobody.call(row.path, &call.message).await;
            let is_right = match call.nobody {
                _ if requests::LATER.contains(&row.path) => {
                    answer.is(code::UNIMPLEMENTED) || answer.is(code::PERMISSION_DENIED)
                }
                Nobody::Denied => answer.is(code::PERMISSION_DENIED) && answer.data.is_empty(),
                Nobody::Hidden => answer.is(code::NOT_FOUND) && answer.data.is_empty(),
                Nobody::Empty => answer.is(code::OK) && answer.message_bytes().is_empty(),
                Nobody::Own => answer.is(code::OK),
            };
            if !is_right {
                wrong.push(format!("{} from nobody, expected {:?}: {answer:?}", row.path, call.nobody));
            }
            if let Some(absent) = &call.absent {
                let other = nobody.call(row.path, absent).await;
                let text = other.message.replace(requests::ABSENT, call.name);
                if (other.code, &text) != (answer.code, &answer.message) {
                    wrong.push(format!("{} tells what exists: {answer:?}, {other:?}", row.path));
                }
            }
        }
    }
    let of_proxies = methods::ALL.iter().filter(|call| methods::OF_PROXIES.contains(&call.service));
    let unknown =
        ["/no.Such/Call", "/", "/proto.AuthService/", "//"].into_iter().chain(of_proxies.map(|call| call.path));
    for path in methods::NOT_YET.iter().copied().chain(unknown) {
        for caller in [&stranger, &nobody] {
            let answer = caller.call(path, b"").await;
            if !answer.is(code::UNIMPLEMENTED) {
                wrong.push(format!("{path}: {answer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));

    // Nothing was changed by all that, and every request was one that an administrator's succeeds with.
    assert_eq!(changes_in_the_journal(&cluster).await, before, "the attack left changes behind");
    let admin = Raw::administrator(&cluster.server().admin_socket()).await;
    for call in
        calls.iter().filter(|call| !requests::LATER.contains(&call.path) && !requests::OF_USERS.contains(&call.path))
    {
        let answer = admin.call(call.path, &call.message).await;
        let is_right = answer.is_success()
            // No sessions are recorded, and nobody has the secret of a link but who got it.
            || ["StreamUnstructuredSessionEvents", "GetResetPasswordToken"]
                .iter()
                .any(|method| call.path.ends_with(method) && answer.is(code::NOT_FOUND));
        assert!(is_right, "{} from the administrator: {answer:?}", call.path);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_refused_to_whoever_was_let_in_and_must_go() {
    let cluster = Cluster::start().await;
    let stage = requests::furnish(&cluster).await;
    let calls = requests::all(&stage);
    let admin = cluster.admin().await;
    let address = cluster.address();
    let mut gone = Vec::new();
    let clock = Clock::system();
    let mut end = clock.now();
    for (what, seconds) in [("locked", 600), ("deleted", 600), ("expired", 5), ("distrusted", 600)] {
        let person = people::user(&admin, what, &["editor", "access"], seconds).await;
        let connection = Raw::with(address, person.chain()).await;
        assert!(connection.call("/proto.AuthService/GetCurrentUserRoles", b"").await.is_success(), "{what}");
        gone.push((what, connection));
        if what == "expired" {
            end = person.certificate.not_after();
        }
    }
    people::lock(&admin, "locked", serde_json::json!({"user": "locked"})).await;
    let user = api::r#gen::teleport::users::v1::DeleteUserRequest { name: "deleted".into() };
    admin.call::<methods::teleport::users::v1::users_service::DeleteUser>(user).await.unwrap();
    clock.sleep_until(end + Duration::from_secs(1)).await;
    let mut wrong = Vec::new();
    for (what, connection) in &gone {
        if *what == "distrusted" {
            people::replace_user_authority(&cluster).await;
            clock.sleep(Duration::from_secs(1)).await;
        }
        for row in table::rows().iter().filter(|row| row.who == Who::Authenticated) {
            let own = calls.iter().filter(|call| call.path == row.path).map(|call| call.message.as_slice());
            for body in own.chain([b"".as_slice()]) {
                let answer = connection.call(row.path, body).await;
                if !answer.is(code::PERMISSION_DENIED) || !answer.data.is_empty() {
                    wrong.push(format!("{} from somebody {what}: {answer:?}", row.path));
                }
            }
        }
        // What strangers may do, they may do, too.
        let answer = connection.call("/proto.AuthService/Ping", b"").await;
        assert!(answer.is(code::OK), "Ping from somebody {what}: {answer:?}");
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    cluster.stop().await;
}

/// Streams of which nothing is asked before their first message.
fn may_begin(path: &str) -> bool {
    ["/tessera.v1.RenewalService/Renew", "/proto.AuthService/SendKeepAlives"].contains(&path)
}

/// How many events other than refusals there are.
async fn changes_in_the_journal(cluster: &Cluster) -> usize {
    let mut count = 0;
    let mut after = None;
    loop {
        let page = cluster.server().auth().store().backend().journal_read(after, 500).await.unwrap();
        for record in &page.records {
            let value: serde_json::Value = serde_json::from_slice(&record.entry.value).unwrap();
            count += usize::from(value["success"] != false && value["event"] != "tessera.access.denied");
        }
        match page.records.last() {
            Some(last) => after = Some(last.position),
            None => return count,
        }
    }
}
