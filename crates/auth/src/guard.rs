//! Reads and writes of resources, each asked for literally: this caller, this verb, this resource.
//!
//! Whether something exists is told only to those who may know it: whoever may not use the verb on a resource of that name
//! is denied, there or not.

use std::collections::BTreeMap;

use audit::ResourceMetadata;
use domain::{Error, Kind, Stored, error::Kind as ErrorKind, resources::token};
use rbac::{Named, RuleContext, Verb};
use store::{Change, Keyed, ListRequest, Page, settle};

use crate::{Auth, Caller, Operation, decide::Asked, roles};

/// What storing something takes that may or may not be there.
pub(crate) const UPSERT: [Verb; 2] = [Verb::Create, Verb::Update];

/// One operation of one caller.
#[derive(Clone, Copy)]
pub(crate) struct Guard<'a> {
    pub(crate) auth: &'a Auth,
    pub(crate) caller: &'a Caller,
    operation: Operation,
}

/// What writing a kind of resource does besides storing it.
pub(crate) trait Written: Keyed {
    /// Fills in what only the server writes, and refuses what may not be made or changed by this way.
    fn settle(&mut self, old: Option<&Self>, guard: &Guard<'_>) -> Result<(), Error>;

    /// The roles that it gives, which must exist.
    fn roles(&self) -> &[String] {
        &[]
    }

    /// Adds the audit event of the change.
    fn record(&self, change: Change, old: Option<&Self>, guard: &Guard<'_>) -> Change;
}

impl<'a> Guard<'a> {
    pub(crate) fn new(auth: &'a Auth, caller: &'a Caller, operation: Operation) -> Self {
        Self { auth, caller, operation }
    }

    /// Whether there could be a resource of this kind for these verbs; asked before anything is read.
    pub(crate) fn may(&self, kind: Kind, verbs: &[Verb]) -> Result<(), Error> {
        self.auth.require_kind(self.caller, self.operation, kind, verbs)
    }

    /// Whether the verbs may be used on this resource.
    pub(crate) fn on<T: Keyed>(&self, resource: &T, verbs: &[Verb]) -> Result<(), Error> {
        self.ask(T::KIND, resource.name(), &RuleContext::of(resource), verbs)
    }

    /// The same for what is known by its name and labels only, whether it is there or not.
    pub(crate) fn ask(&self, kind: Kind, name: &str, context: &RuleContext<'_>, verbs: &[Verb]) -> Result<(), Error> {
        // The name of a token may be a secret; the record of a denial is no place for it.
        let masked = (kind == Kind::Token).then(|| token::mask(name));
        let name = masked.as_deref().unwrap_or(name);
        verbs.iter().try_for_each(|&verb| {
            let asked = Asked { operation: self.operation, kind, verb, name };
            self.auth.require(self.caller, &asked, context)
        })
    }

    /// The same as a claim: an item of a list that may not be seen is no denial.
    pub(crate) fn allows<T: Keyed>(&self, resource: &T, verbs: &[Verb]) -> bool {
        let context = RuleContext::of(resource);
        verbs.iter().all(|&verb| self.caller.access().check_rule(&context, T::KIND, verb).allowed)
    }

    /// The resource of this name, if the verbs may be used on it.
    pub(crate) async fn fetch<T: Keyed>(&self, name: &str, verbs: &[Verb]) -> Result<T, Error> {
        self.fetch_in("", name, verbs).await
    }

    /// The same for a kind with groups.
    pub(crate) async fn fetch_in<T: Keyed>(&self, group: &str, name: &str, verbs: &[Verb]) -> Result<T, Error> {
        self.fetch_for(&mut self.auth.store.change(), group, name, verbs).await
    }

    /// The same for a change, which then happens only to what was asked about.
    pub(crate) async fn fetch_for<T: Keyed>(
        &self,
        change: &mut Change,
        group: &str,
        name: &str,
        verbs: &[Verb],
    ) -> Result<T, Error> {
        self.may(T::KIND, verbs)?;
        match change.fetch_in::<T>(group, name).await {
            Ok(resource) => self.on(&resource, verbs).map(|()| resource),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let context =
                    RuleContext { resource: Some(Named { name, labels: &BTreeMap::new() }), ..RuleContext::NONE };
                self.ask(T::KIND, name, &context, verbs)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// A page of those resources on which the verbs may be used and that pass the filter.
    pub(crate) async fn page<T: Keyed>(
        &self,
        request: &ListRequest<'_>,
        verbs: &[Verb],
        filter: impl Fn(&T) -> bool + Send + Sync,
    ) -> Result<Page<T>, Error> {
        self.may(T::KIND, verbs)?;
        self.auth.store.repository::<T>().list(request, |item| filter(item) && self.allows(item, verbs)).await
    }

    /// Stores a resource that is not there yet.
    pub(crate) async fn create<T: Written>(&self, mut new: T) -> Result<T, Error> {
        self.may(T::KIND, &[Verb::Create])?;
        self.settle(&mut new, None)?;
        self.on(&new, &[Verb::Create])?;
        let receipt = settle(|| async {
            let change = self.auth.store.change().create(&new)?;
            self.record(change, &new, None).await?.commit().await
        });
        Ok(receipt.await?.stamp(new))
    }

    /// Replaces a resource that still has the revision that `new` carries.
    pub(crate) async fn update<T: Written>(&self, new: T) -> Result<T, Error> {
        settle(|| Box::pin(self.replace(new.clone()))).await
    }

    async fn replace<T: Written>(&self, mut new: T) -> Result<T, Error> {
        let mut change = self.auth.store.change();
        let old = self.fetch_for::<T>(&mut change, new.group(), new.name(), &[Verb::Update]).await?;
        self.settle(&mut new, Some(&old))?;
        self.on(&new, &[Verb::Update])?;
        let change = change.update(&new)?;
        Ok(self.record(change, &new, Some(&old)).await?.commit().await?.stamp(new))
    }

    /// Stores a resource whether it is there or not, as one change over exactly what was looked at.
    pub(crate) async fn upsert<T: Written>(&self, new: T) -> Result<T, Error> {
        self.may(T::KIND, &UPSERT)?;
        // Before anything is read: any other refusal would say that there is something under this name.
        self.on(&new, &UPSERT)?;
        settle(|| Box::pin(self.put(new.clone()))).await
    }

    async fn put<T: Written>(&self, mut new: T) -> Result<T, Error> {
        let mut change = self.auth.store.change();
        let stored = change.read_stored::<T>(new.group(), new.name()).await?;
        let old = stored.as_ref().map(|stored| &stored.value);
        // Likewise before the old resource has a say in what the new one may be.
        old.map_or(Ok(()), |old| self.on(old, &[Verb::Update]))?;
        self.settle(&mut new, old)?;
        self.on(&new, &UPSERT)?;
        change = self.record(change, &new, old).await?;
        change = match stored {
            Some(stored) => {
                new.metadata_mut().revision.clone_from(&stored.value.metadata().revision);
                change.replace(Stored { value: new.clone(), extra: stored.extra })?
            }
            None => change.create(&new)?,
        };
        Ok(change.commit().await?.stamp(new))
    }

    /// Removes a resource as it was when its removal was asked about, with the audit event that `record` adds.
    pub(crate) async fn delete<T: Keyed>(
        &self,
        name: &str,
        record: impl Fn(Change, &T) -> Result<Change, Error> + Sync,
    ) -> Result<(), Error> {
        settle(|| async {
            let mut change = self.auth.store.change();
            let old: T = self.fetch_for(&mut change, "", name, &[Verb::Delete]).await?;
            record(change.delete_exactly(&old)?, &old)?.commit().await.map(|_| ())
        })
        .await
    }

    async fn record<T: Written>(&self, change: Change, new: &T, old: Option<&T>) -> Result<Change, Error> {
        let change = roles::given(self.auth, change, new.roles()).await?;
        Ok(new.record(change, old, self))
    }

    /// Defaults, the server's own fields, and the rules that hold for every resource of the kind.
    fn settle<T: Written>(&self, new: &mut T, old: Option<&T>) -> Result<(), Error> {
        new.set_defaults();
        new.settle(old, self)?;
        self.check(new)
    }

    /// What must hold for whatever is made or changed. A resource that has ended already would be stored and not be there.
    pub(crate) fn check(&self, new: &impl Keyed) -> Result<(), Error> {
        new.validate()?;
        match new.metadata().expires {
            Some(end) if new.metadata().is_expired(self.auth.clock.now()) => {
                Err(Error::invalid(format!("metadata.expires: {end} has passed already")))
            }
            _ => Ok(()),
        }
    }

    /// The part of an audit event that says what was changed.
    pub(crate) fn resource(&self, resource: &impl Keyed) -> ResourceMetadata {
        ResourceMetadata::new(resource.name(), resource.metadata().expires, self.caller.name())
    }
}
