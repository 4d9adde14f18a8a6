//! Sessions with several people: who may join (`join_sessions`), and who must be there (`require_session_join`).

use domain::resources::{
    role::{SessionJoinPolicy, SessionRequirePolicy},
    user::Traits,
};
use predicate::{Environment, Expression, Value};

use crate::{
    checker::{AccessChecker, Findings},
    context::Subject,
    decision::{Place, Side},
    expand::{Matching, Outcome, Values},
    role_set::Parsed,
};

/// A session that somebody wants to join.
#[derive(Debug, Clone, Copy)]
pub struct SessionToJoin<'a> {
    /// `ssh`, `k8s`, `db`, `app`, `desktop`
    pub kind: &'a str,
    /// `observer`, `moderator`, `peer`
    pub mode: &'a str,
    /// The roles of the one who began it.
    pub owner_roles: &'a [String],
}

/// Somebody who is in a session, besides the one who began it.
#[derive(Debug, Clone, Copy)]
pub struct Participant<'a> {
    /// The name of the user.
    pub name: &'a str,
    /// The roles of the user.
    pub roles: &'a [String],
    /// The traits of the user.
    pub traits: &'a Traits,
    /// The mode that the user joined in.
    pub mode: &'a str,
}

/// Whether those who must be there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// They are, or nobody must be.
    Enough,
    /// They are not.
    Missing {
        /// The roles of the one who began the session that ask for more, with the names of their policies: one policy of
        /// each role must be met.
        unmet: Vec<(String, Vec<String>)>,
        /// What becomes of a session that runs.
        on_leave: OnLeave,
    },
}

/// What becomes of a running session when those who must be there are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnLeave {
    /// It waits for them.
    Pause,
    /// It ends.
    Terminate,
}

/// A policy of `join_sessions`, expanded.
#[derive(Debug)]
pub(crate) struct JoinPolicy {
    roles: Values,
    kinds: Values,
    modes: Values,
}

impl JoinPolicy {
    pub(crate) fn new(policy: &SessionJoinPolicy, subject: &Subject) -> Self {
        let patterns = |list: &Vec<String>| Values::of(list, subject, Matching::Patterns);
        Self { roles: patterns(&policy.roles), kinds: patterns(&policy.kinds), modes: patterns(&policy.modes) }
    }
}

impl SessionToJoin<'_> {
    pub(crate) fn findings(&self, policies: &[JoinPolicy], side: Side) -> Findings {
        let fits = |policy: &JoinPolicy| {
            policy.kinds.has(self.kind).and(|| policy.modes.has(self.mode)).and(|| {
                let roles = self.owner_roles.iter().map(|role| policy.roles.has(role));
                roles.fold(Outcome::No, Outcome::or)
            })
        };
        let policies = policies.iter().enumerate();
        policies.map(|(index, policy)| (Place::Entry(side, "join_sessions", index), fits(policy))).collect()
    }
}

/// A policy of `require_session_join`, with its filter parsed.
#[derive(Debug)]
pub(crate) struct RequirePolicy {
    policy: SessionRequirePolicy,
    filter: Option<Parsed<Expression>>,
}

impl RequirePolicy {
    pub(crate) fn new(policy: &SessionRequirePolicy) -> Self {
        let parse = |text: &str| predicate::parse_participant(text).map_err(|error| error.to_string());
        let filter = (!policy.filter.trim().is_empty()).then(|| parse(&policy.filter));
        Self { policy: policy.clone(), filter }
    }

    fn concerns(&self, kind: &str) -> bool {
        has(&self.policy.kinds, kind)
    }

    /// A filter that cannot be evaluated counts nobody.
    fn counts(&self, participant: &Participant<'_>) -> bool {
        let fits = match &self.filter {
            None => true,
            Some(Err(_)) => false,
            Some(Ok(filter)) => filter.holds(participant).unwrap_or(false),
        };
        fits && has(&self.policy.modes, participant.mode)
    }

    fn is_met(&self, present: &[Participant<'_>]) -> bool {
        let mut names: Vec<&str> = present.iter().filter(|one| self.counts(one)).map(|one| one.name).collect();
        names.sort_unstable();
        names.dedup();
        i32::try_from(names.len()).unwrap_or(i32::MAX) >= self.policy.count
    }

    /// Whoever says nothing wants the session to end: that shows least.
    fn on_leave(&self) -> OnLeave {
        if self.policy.on_leave == "pause" { OnLeave::Pause } else { OnLeave::Terminate }
    }
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|known| known == word || known == "*")
}

impl Environment for Participant<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "user.metadata.name" => Value::text(self.name),
            "user.spec.roles" | "user.roles" => Value::list(self.roles),
            "user.spec.traits" | "user.traits" => Value::Traits(self.traits),
            _ => Value::Absent,
        }
    }
}

impl AccessChecker {
    /// Whether a session of this kind that this identity began may run while these are present: of each role that has
    /// policies for the kind, one must be met. One person counts once for a policy, and the one who began it never.
    #[must_use]
    pub fn presence(&self, kind: &str, present: &[Participant<'_>]) -> Presence {
        let others: Vec<Participant<'_>> = present.iter().filter(|one| one.name != self.username()).copied().collect();
        let mut unmet = Vec::new();
        let mut on_leave = OnLeave::Pause;
        for held in &self.held {
            let policies = held.side(Side::Allow).details.require.iter().filter(|policy| policy.concerns(kind));
            let policies: Vec<&RequirePolicy> = policies.collect();
            if policies.is_empty() || policies.iter().any(|policy| policy.is_met(&others)) {
                continue;
            }
            on_leave = policies.iter().map(|policy| policy.on_leave()).fold(on_leave, Ord::max);
            let names = policies.iter().map(|policy| policy.policy.name.clone()).collect();
            unmet.push((held.role.name().to_owned(), names));
        }
        if unmet.is_empty() { Presence::Enough } else { Presence::Missing { unmet, on_leave } }
    }
}
