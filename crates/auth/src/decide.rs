//! Asks `rbac` literally: this caller, this verb, this resource. A denial is explained in the audit log, never to the caller.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use clock::Timestamp;
use domain::{Error, Kind, error::Reason as Why, identity::Identity, resources::user::Traits, role::SystemRole};
use rbac::{
    AccessChecker, CompiledRole, Decision, LockingMode, Reason, RoleSet, RuleContext, Verb,
    locks::{LockSubject, LockView, Locked, Passed, STALE_AFTER},
};
use store::{Cache, Snapshot};

use crate::{Auth, Caller, Operation};

/// How many checkers are kept; beyond it all are built anew, so that a flood of identities holds bounded memory.
const CHECKERS: usize = 20_000;

/// Compiled roles and the checkers made from them, kept until a role changes.
pub(crate) struct Roles {
    kept: Mutex<Kept>,
    /// When the first of the roles in it expires, in seconds: what was decided with them is to be decided again then.
    /// Whoever removes expired items may come much later.
    until: AtomicI64,
}

impl Default for Roles {
    fn default() -> Self {
        Self { kept: Mutex::default(), until: AtomicI64::new(i64::MAX) }
    }
}

#[derive(Default)]
struct Kept {
    compiled: HashMap<String, Arc<CompiledRole>>,
    checkers: HashMap<Holder, Arc<AccessChecker>>,
}

/// A part of the system is told from a user by `system`, never by a name: names of users and roles are chosen by people.
#[derive(PartialEq, Eq, Hash)]
struct Holder {
    system: Option<SystemRole>,
    user: String,
    roles: Vec<String>,
    traits: BTreeMap<String, Vec<String>>,
}

impl Roles {
    /// Forgets everything; called when a role changed.
    pub(crate) fn forget(&self) {
        let mut kept = self.kept();
        *kept = Kept::default();
        self.until.store(i64::MAX, Ordering::Release);
    }

    /// Whether a role has expired with which something was decided.
    pub(crate) fn is_outdated(&self, now: Timestamp) -> bool {
        self.until.load(Ordering::Acquire) <= now.as_second()
    }

    /// What a part of the system may do.
    pub(crate) fn system(&self, name: &str, role: SystemRole) -> Arc<AccessChecker> {
        let holder = Holder { system: Some(role), user: name.to_owned(), roles: Vec::new(), traits: BTreeMap::new() };
        let mut kept = self.kept();
        if let Some(checker) = kept.checkers.get(&holder) {
            return Arc::clone(checker);
        }
        let set = Arc::new(rbac::builtin::role_set([role]));
        let checker = Arc::new(AccessChecker::new(name, &Traits::new(), set));
        kept.insert(holder, Arc::clone(&checker));
        checker
    }

    /// What the holder of these roles may do. A role that does not exist any more refuses the holder: what that role
    /// denied would be lost otherwise.
    fn of(
        &self,
        user: &str,
        roles: &[String],
        traits: &Traits,
        cache: &Cache,
        now: Timestamp,
    ) -> Result<Arc<AccessChecker>, Error> {
        if self.is_outdated(now) {
            self.forget();
        }
        let holder = Holder { system: None, user: user.to_owned(), roles: roles.to_vec(), traits: traits.clone() };
        let mut kept = self.kept();
        if let Some(checker) = kept.checkers.get(&holder) {
            return Ok(Arc::clone(checker));
        }
        // Looked at with the lock held: what is forgotten afterwards cannot be kept again from an older look.
        let snapshot = cache.snapshot();
        let mut set = Vec::with_capacity(roles.len());
        for name in roles {
            let Some(compiled) = self.compiled(&mut kept, name, &snapshot, now) else {
                tracing::warn!(user, role = name, "an identity names a role that does not exist and is refused");
                return Err(Error::denied("access denied: a role of this identity does not exist any more")
                    .because(Why::RoleMissing));
            };
            set.push(compiled);
        }
        let checker = Arc::new(AccessChecker::new(user, traits, Arc::new(set.into_iter().collect::<RoleSet>())));
        kept.insert(holder, Arc::clone(&checker));
        Ok(checker)
    }

    /// A role that exists now. Reading one from the cache means decoding it, which is most of what a request would cost.
    fn role(&self, name: &str, cache: &Cache, now: Timestamp) -> Option<Arc<CompiledRole>> {
        self.compiled(&mut self.kept(), name, &cache.snapshot(), now)
    }

    fn compiled(&self, kept: &mut Kept, name: &str, snapshot: &Snapshot, now: Timestamp) -> Option<Arc<CompiledRole>> {
        let compiled = kept.compiled(name, snapshot)?;
        match compiled.role().metadata.expires {
            Some(expires) if expires <= now => None,
            Some(expires) => {
                self.until.fetch_min(expires.as_second().saturating_add(1), Ordering::AcqRel);
                Some(compiled)
            }
            None => Some(compiled),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn compiled(&mut self, name: &str, snapshot: &Snapshot) -> Option<Arc<CompiledRole>> {
        if let Some(compiled) = self.compiled.get(name) {
            return Some(Arc::clone(compiled));
        }
        let compiled = Arc::new(CompiledRole::new((*snapshot.role(name)?).clone()));
        self.compiled.insert(name.to_owned(), Arc::clone(&compiled));
        Some(compiled)
    }

    fn insert(&mut self, holder: Holder, checker: Arc<AccessChecker>) {
        if self.checkers.len() >= CHECKERS {
            self.checkers.clear();
        }
        self.checkers.insert(holder, checker);
    }
}

/// Something that is asked about a resource, for the audit log.
pub(crate) struct Asked<'a> {
    pub(crate) operation: Operation,
    pub(crate) kind: Kind,
    pub(crate) verb: Verb,
    pub(crate) name: &'a str,
}

impl Auth {
    /// What the holder of these roles may do.
    pub(crate) fn access(&self, user: &str, roles: &[String], traits: &Traits) -> Result<Arc<AccessChecker>, Error> {
        self.roles.of(user, roles, traits, &self.cache, self.clock.now())
    }

    /// A role that exists now.
    pub(crate) fn role(&self, name: &str) -> Option<Arc<CompiledRole>> {
        self.roles.role(name, &self.cache, self.clock.now())
    }

    /// Lets the caller go on if a rule of its roles allows this verb on this resource.
    ///
    /// # Errors
    /// Denied, with a text that says nothing about what exists.
    pub(crate) fn require(&self, caller: &Caller, asked: &Asked<'_>, context: &RuleContext<'_>) -> Result<(), Error> {
        self.enforce(caller, asked, caller.access().check_rule(context, asked.kind, asked.verb))
    }

    /// The same for a kind as a whole, before any resource of it is read.
    ///
    /// # Errors
    /// As [`Auth::require`].
    pub(crate) fn require_kind(
        &self,
        caller: &Caller,
        operation: Operation,
        kind: Kind,
        verbs: &[Verb],
    ) -> Result<(), Error> {
        for &verb in verbs {
            if caller.access().may_be_allowed(kind, verb) {
                continue;
            }
            let asked = Asked { operation, kind, verb, name: "" };
            self.enforce(caller, &asked, caller.access().check_rule(&RuleContext::NONE, kind, verb))?;
        }
        Ok(())
    }

    /// Turns a decision into a result; a denial is recorded with its reason.
    pub(crate) fn enforce(&self, caller: &Caller, asked: &Asked<'_>, decision: Decision) -> Result<(), Error> {
        match decision.into_result() {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.record_denial(caller, asked, &reason);
                Err(Error::denied("access denied").because(Why::AccessDenied))
            }
        }
    }

    fn record_denial(&self, caller: &Caller, asked: &Asked<'_>, reason: &Reason) {
        let (role, rule) = match reason {
            Reason::Denied(source) | Reason::Allowed(source) => (source.role.to_string(), source.place.to_string()),
            Reason::NoneAllowed { .. } => (String::new(), String::new()),
        };
        self.denials.note(audit::events::auth::AccessDenied {
            user: caller.user_metadata(),
            connection: caller.connection(),
            status: audit::Status::failed("access denied"),
            operation: asked.operation.name().to_owned(),
            verb: asked.verb.as_str().to_owned(),
            kind: asked.kind.as_str().to_owned(),
            resource: asked.name.to_owned(),
            role,
            rule,
            explanation: reason.to_string(),
            attempts: 1,
            first_attempt: None,
        });
    }

    /// Refuses an identity that a lock hits.
    ///
    /// # Errors
    /// Denied: `lock targeting User:"x" is in force: …`.
    pub(crate) fn refuse_locked(&self, identity: &Identity) -> Result<(), Error> {
        let snapshot = self.cache.snapshot();
        let is_strict = snapshot.auth_preference().is_some_and(|preference| preference.spec.locking_mode == "strict");
        let mode = if is_strict { LockingMode::Strict } else { LockingMode::BestEffort };
        // What a role says that does not exist any more is not known.
        let mode = match identity.system_role() {
            Some(_) => mode,
            None => self
                .access(&identity.username, &identity.roles, &identity.traits)
                .map_or(LockingMode::Strict, |access| access.locking_mode(mode)),
        };
        let now = self.clock.now();
        // By the monotonic clock: with the wall clock set back, locks that nobody tells of any more would look fresh.
        let age = self.cache.age().unwrap_or(Duration::MAX);
        let view = || LockView {
            locks: snapshot.locks().map(|lock| &**lock),
            as_of: now.saturating_sub(age).unwrap_or(Timestamp::MIN),
            stale_after: STALE_AFTER,
        };
        let check = |view, subject| {
            rbac::locks::check(view, subject, mode, now).map_err(|locked| match locked {
                Locked::InForce { refusal, .. } => Error::denied(refusal).because(Why::Locked),
                // Nobody has shut this caller out; asking again is right.
                stale @ Locked::Stale { .. } => Error::unavailable(stale.to_string()),
            })
        };
        let holder = LockSubject::of(identity);
        let passed = check(view(), &holder)?;
        if let Some(behind) = LockSubject::behind(identity) {
            let user = snapshot.user(behind.user);
            let roles = user.iter().flat_map(|user| &user.spec.roles).map(String::as_str).collect();
            check(view(), &LockSubject { roles, ..behind })?;
        }
        if let Passed::Stale(_) = passed {
            self.metrics.decided_on_stale_locks();
        }
        Ok(())
    }
}
