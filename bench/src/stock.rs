//! Fills a store directly, while no server holds it, with the documents that a server would have written.

use anyhow::Context as _;
use clock::{Clock, Timestamp};
use crypto::Random;
use domain::{
    Stored,
    resources::{
        Bot, BotInstance,
        bot::BotSpec,
        bot_instance::{Authentication, BotInstanceSpec, BotInstanceStatus},
    },
};
use storage::{Backend, Batch};
use storage_sqlite::{Options, Sqlite, Synchronous};
use store::Keyed;
use tokio::task::JoinSet;

use std::sync::Arc;

use crate::{cluster::ROLE, server::Site};

/// Items in one batch; the port allows 64.
const BATCH: usize = 60;

/// Batches under way.
const UNDER_WAY: usize = 64;

/// A store that is being filled.
pub(crate) struct Stock {
    store: Arc<Sqlite>,
    batch: Batch,
    count: usize,
    running: JoinSet<storage::Result<storage::Committed>>,
}

impl Stock {
    /// Opens the store of a server that is not running.
    pub(crate) fn open(site: &Site) -> anyhow::Result<Self> {
        let path = find(site).context("the server's database was not found")?;
        let options = Options { synchronous: Synchronous::Off, readers: 1, ..Options::default() };
        let store = Arc::new(Sqlite::open(&path, Clock::system(), &Random::system(), options)?);
        Ok(Self { store, batch: Batch::new(), count: 0, running: JoinSet::new() })
    }

    /// Adds a resource.
    pub(crate) async fn put<T: Keyed>(&mut self, resource: T) -> anyhow::Result<()> {
        let (key, expires) = (resource.key(), resource.metadata().expires);
        let bytes = Stored::new(resource).encode()?;
        self.batch = std::mem::take(&mut self.batch).put(key, bytes, expires);
        self.count += 1;
        if self.count.is_multiple_of(BATCH) { self.flush().await } else { Ok(()) }
    }

    /// Adds a bot with its user and its role.
    pub(crate) async fn put_bot(&mut self, name: &str) -> anyhow::Result<()> {
        let mut bot = Bot::new(name, BotSpec { roles: vec![ROLE.into()], ..BotSpec::default() });
        domain::Resource::set_defaults(&mut bot);
        self.put(bot.derived_user()).await?;
        self.put(bot.derived_role()).await?;
        self.put(bot).await
    }

    /// Adds an instance as a join leaves it.
    pub(crate) async fn put_instance(&mut self, bot: &str, id: &str) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let authentication = Authentication {
            authenticated_at: Some(now),
            join_method: "token".into(),
            join_token: "****************************".into(),
            generation: 1,
            public_key: vec![b'k'; 178].into(),
            ..Authentication::default()
        };
        let spec =
            BotInstanceSpec { bot_name: bot.to_owned(), instance_id: id.to_owned(), ..BotInstanceSpec::default() };
        let mut instance = BotInstance::new(id, spec);
        instance.status = BotInstanceStatus {
            initial_authentication: Some(authentication.clone()),
            latest_authentications: vec![authentication],
            ..BotInstanceStatus::default()
        };
        instance.metadata.expires = Some(now.checked_add(std::time::Duration::from_secs(4 * 24 * 3600))?);
        self.put(instance).await
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let (store, batch) = (Arc::clone(&self.store), std::mem::take(&mut self.batch));
        self.running.spawn(async move { store.batch(batch).await });
        if self.running.len() >= UNDER_WAY
            && let Some(done) = self.running.join_next().await
        {
            done??;
        }
        Ok(())
    }

    /// Writes what is left and closes the store.
    pub(crate) async fn close(mut self) -> anyhow::Result<usize> {
        self.flush().await?;
        while let Some(done) = self.running.join_next().await {
            done??;
        }
        Ok(self.count)
    }
}

/// The only database below the data directory.
fn find(site: &Site) -> Option<std::path::PathBuf> {
    let mut waiting = vec![site.data()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "db") {
                return Some(path);
            }
        }
    }
    None
}
