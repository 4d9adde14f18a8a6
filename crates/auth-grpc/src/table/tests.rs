//! The table against the schema and against `auth`'s list of operations.

use std::collections::{BTreeMap, BTreeSet};

use api::methods::{ALL, NOT_YET, OF_PROXIES};
use auth::{Operation, Trace};

use super::rows;
use crate::dispatch::Who;

#[test]
fn every_call_of_the_schema_has_a_row_or_is_known_not_to_be_built() {
    let served: BTreeSet<&str> = rows().iter().map(|row| row.path).collect();
    let ours = ALL.iter().filter(|call| !OF_PROXIES.contains(&call.service)).map(|call| call.path);
    let missing: Vec<&str> = ours.filter(|path| !served.contains(path) && !NOT_YET.contains(path)).collect();
    assert!(missing.is_empty(), "calls with neither a row nor an entry in NOT_YET: {missing:#?}");
}

#[test]
fn no_call_has_two_rows_or_a_row_and_a_refusal() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        assert!(seen.insert(row.path), "{} has two rows", row.path);
        assert!(!NOT_YET.contains(&row.path), "{} is served and in NOT_YET", row.path);
        assert!(ALL.iter().any(|call| call.path == row.path), "{} is not in the schema", row.path);
    }
}

#[test]
fn strangers_reach_what_joining_needs_and_nothing_else() {
    let open: BTreeSet<&str> = rows().iter().filter(|row| row.who == Who::Anyone).map(|row| row.path).collect();
    for path in &open {
        let is_known =
            ["/proto.AuthService/Ping", "/proto.AuthService/GetDomainName", "/proto.AuthService/GetClusterCACert"];
        let joins = ["/proto.JoinService/", "/teleport.join.v1.JoinService/", "/tessera.v1.RenewalService/"];
        assert!(
            is_known.contains(path) || joins.iter().any(|service| path.starts_with(service)),
            "{path} is open to strangers"
        );
    }
    assert!(open.len() >= 4, "{open:?}");
}

#[test]
fn every_operation_but_those_of_the_background_is_reached_by_a_call() {
    let mut reached: BTreeMap<Operation, usize> = BTreeMap::new();
    for row in rows() {
        *reached.entry(row.operation).or_default() += 1;
    }
    let unreached: Vec<Operation> = Operation::ALL
        .iter()
        .copied()
        .filter(|operation| !reached.contains_key(operation) && *operation != Operation::Sweep)
        .collect();
    assert!(unreached.is_empty(), "operations that no row names: {unreached:?}");
    let presence: Vec<Operation> =
        Operation::ALL.iter().copied().filter(|operation| operation.trace() == Trace::Presence).collect();
    assert_eq!(
        presence,
        [
            Operation::SubmitHeartbeat,
            Operation::UpsertAppServer,
            Operation::DeleteAppServer,
            Operation::UpsertProxy,
            Operation::ProvePublicName,
            Operation::Sweep
        ],
        "what changes something without a record is a reviewed list"
    );
}
