//! One protocol that an agent serves.

use async_trait::async_trait;
use domain::Error;
use service::Stop;
use tokio::sync::watch;

/// A protocol: it takes the streams of its name and says what it has to offer.
#[async_trait]
pub trait Service: tunnel::link::Serve {
    /// The name in [`tunnel::Open::service`].
    fn name(&self) -> &'static str;

    /// Tells the cluster what is served here and that these proxies (their host ids) lead to it. Repeated at intervals,
    /// and when [`Self::changed`] or the proxies change.
    ///
    /// # Errors
    /// What the auth service answered; it is tried again.
    async fn announce(&self, proxies: &[String]) -> Result<(), Error>;

    /// Takes back what was announced: this agent stops. A failure leaves it to time.
    async fn withdraw(&self);

    /// Changes when there is something new to announce.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Ends when [`Self::run`] has learned what streams are judged by: no proxy is dialled before.
    async fn prepared(&self) {}

    /// What the protocol does beside serving streams: also for those that come to their end after `stop`, until `over`.
    async fn run(&self, stop: Stop, over: Stop);

    /// What is left to do when the last stream has ended.
    async fn finish(&self) {}
}
