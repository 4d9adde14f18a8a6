//! Which proxies an agent holds links to: told what happened and what time it is, it says whom to dial and what to close.
//!
//! The aim is one live link to every proxy of the cluster. Proxies tell about each other. Whoever dials one may meet
//! another that we know already: its address may be a balancer's. One that is not met where it says that it is, is looked
//! for at the entry address, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::control::{Hello, Peer};

/// The first wait after a dial that failed, or that met a proxy which we had already.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait after a dial that failed. An agent must be back soon after an outage of any length.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The longest wait after a dial that met a proxy which we had already. A balancer may always lead to the same one, and
/// the handshakes of ten thousand agents that look for the other are the proxy's work.
const LONGEST_WAIT_BESIDE: Duration = Duration::from_secs(60);

/// Agents that lost the same proxy at the same instant come back spread over this span: ten thousand handshakes at once
/// would keep a proxy from answering any.
pub const SPREAD: Duration = Duration::from_secs(3);

/// A link that lived for so long was a success; one that ends sooner counts as a failure, or a proxy that accepts and
/// drops at once would be dialled in a tight loop.
const PROVEN: Duration = Duration::from_secs(10);

/// Proxies that we keep links to. A cluster has a handful; the bound keeps a proxy that lies about its peers from making
/// us dial without end.
pub const MAX_PROXIES: usize = 64;

/// Names one link, from the order to dial until its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time went by.
    Tick,
    /// A dial succeeded, and the proxy said who it is.
    Up(LinkId, Hello),
    /// A proxy told again which proxies there are.
    Peers(LinkId, Vec<Peer>),
    /// A proxy is about to stop: it opens no more streams, and those which run may end in peace.
    Draining(LinkId),
    /// A dial failed or a link ended.
    Down(LinkId),
    /// Proxies are to be looked for here from now on.
    Entry {
        /// Addresses of proxies, or of a balancer before them.
        addresses: Vec<String>,
        /// The agent has another certificate: links that were made with the old one are to be replaced.
        is_renewed: bool,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Dial this address.
    Dial(LinkId, String),
    /// Let this link go: another one leads to the same proxy.
    Close(LinkId),
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    entry: Vec<String>,
    wanted: BTreeMap<String, Option<String>>,
    links: BTreeMap<LinkId, Link>,
    waits: BTreeMap<String, Wait>,
    next: u64,
    /// Counts our certificates.
    generation: u64,
}

#[derive(Debug)]
struct Link {
    address: String,
    /// The certificate that it was dialled with: the proxy ends it when that one ends.
    generation: u64,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Dialling,
    Up { proxy: String, incarnation: String, since: Duration },
    Leaving,
}

/// When an address may be dialled again.
#[derive(Debug, Default)]
struct Wait {
    /// Dials that failed. What an outage was like says nothing of a balancer.
    failures: u32,
    /// Dials that met a proxy which we had already.
    beside: u32,
    until: Duration,
}

/// Why an address is not dialled again at once.
#[derive(Clone, Copy)]
enum Vain {
    Failed,
    Beside,
}

impl Machine {
    /// An agent that knows the cluster by these addresses.
    pub fn new(entry: impl IntoIterator<Item = String>) -> Self {
        Self {
            entry: entry.into_iter().collect(),
            wanted: BTreeMap::new(),
            links: BTreeMap::new(),
            waits: BTreeMap::new(),
            next: 0,
            generation: 0,
        }
    }

    /// Takes in an event. `now` is monotonic; `jitter` is a fresh random number in `0.0..1.0`.
    pub fn on(&mut self, now: Duration, event: Event, jitter: f64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => {}
            Event::Up(link, hello) => self.up(now, link, hello, jitter, &mut effects),
            Event::Peers(link, peers) => self.heard(now, link, peers, jitter),
            Event::Draining(link) => self.draining(now, link, jitter),
            Event::Down(link) => self.down(now, link, jitter),
            Event::Entry { addresses, is_renewed } => {
                self.entry = addresses;
                if is_renewed {
                    self.renewed(now, jitter);
                }
            }
        }
        self.dial(now, &mut effects);
        effects
    }

    /// When [`Event::Tick`] is due at the latest, if no other event comes.
    pub fn wake(&self) -> Option<Duration> {
        self.missing().iter().filter(|address| !self.is_dialling(address)).map(|address| self.not_before(address)).min()
    }

    /// The proxies that there is a live link to.
    pub fn connected(&self) -> BTreeSet<&str> {
        self.links
            .values()
            .filter_map(|link| match &link.state {
                State::Up { proxy, .. } => Some(proxy.as_str()),
                State::Dialling | State::Leaving => None,
            })
            .collect()
    }

    /// Whether there is a live link to every proxy that we know of.
    pub fn is_complete(&self) -> bool {
        !self.wanted.is_empty() && self.missing().is_empty()
    }

    fn up(&mut self, now: Duration, id: LinkId, hello: Hello, jitter: f64, effects: &mut Vec<Effect>) {
        let Some(link) = self.links.get(&id).filter(|link| link.state == State::Dialling) else { return };
        let (address, generation) = (link.address.clone(), link.generation);
        let known = self.links.iter().find_map(|(other, link)| match &link.state {
            State::Up { proxy, incarnation, .. } if *proxy == hello.proxy => {
                Some((*other, *incarnation == hello.incarnation && link.generation >= generation))
            }
            _ => None,
        });
        match known {
            // The balancer sent us to a proxy that we have.
            Some((_, true)) => {
                self.links.remove(&id);
                self.postpone(now, &address, jitter, Vain::Beside);
                effects.push(Effect::Close(id));
                return self.know(now, hello.proxy, hello.peers, jitter);
            }
            // It was restarted, and we have not noticed yet that the old link leads nowhere; or we have renewed.
            Some((old, false)) => {
                self.leave(old);
                effects.push(Effect::Close(old));
            }
            None => {}
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.state = State::Up { proxy: hello.proxy.clone(), incarnation: hello.incarnation, since: now };
        }
        self.know(now, hello.proxy, hello.peers, jitter);
    }

    fn heard(&mut self, now: Duration, id: LinkId, peers: Vec<Peer>, jitter: f64) {
        let Some(State::Up { proxy, .. }) = self.links.get(&id).map(|link| &link.state) else { return };
        let proxy = proxy.clone();
        self.know(now, proxy, peers, jitter);
    }

    /// The last word counts: whoever is not named any more is looked for no longer, but a link that lives is kept.
    fn know(&mut self, now: Duration, teller: String, peers: Vec<Peer>, jitter: f64) {
        let named = peers.into_iter().take(MAX_PROXIES).map(|peer| (peer.id, peer.address)).collect();
        let before = std::mem::replace(&mut self.wanted, named);
        self.wanted.entry(teller).or_default();
        // That we met only others at the address of one that has just come says nothing any more.
        let come = self.wanted.iter().filter(|(proxy, _)| !before.contains_key(*proxy));
        let addresses = come.filter_map(|(_, address)| address.clone()).filter(|address| self.is_vain(address));
        for address in addresses.collect::<Vec<_>>() {
            self.spread(now, &address, jitter);
        }
        let live: BTreeSet<&String> =
            self.wanted.values().flatten().chain(&self.entry).chain(self.links.values().map(|l| &l.address)).collect();
        let live: BTreeSet<String> = live.into_iter().cloned().collect();
        self.waits.retain(|address, _| live.contains(address));
    }

    fn draining(&mut self, now: Duration, id: LinkId, jitter: f64) {
        let Some(link) = self.links.get(&id) else { return };
        if !matches!(link.state, State::Up { .. }) {
            return;
        }
        let address = link.address.clone();
        self.leave(id);
        self.lost(now, &address, jitter);
    }

    fn down(&mut self, now: Duration, id: LinkId, jitter: f64) {
        let Some(link) = self.links.remove(&id) else { return };
        match link.state {
            State::Up { since, .. } if now.saturating_sub(since) >= PROVEN => self.lost(now, &link.address, jitter),
            State::Up { .. } | State::Dialling => self.postpone(now, &link.address, jitter, Vain::Failed),
            State::Leaving => {}
        }
    }

    /// A link that was good is looked for again at once. If it was the last one, so is everybody behind the entry: that a
    /// balancer led to the same proxy time and again, and what we waited for that, says nothing any more.
    fn lost(&mut self, now: Duration, address: &str, jitter: f64) {
        self.spread(now, address, jitter);
        if self.connected().is_empty() {
            for address in self.entry.clone() {
                self.spread(now, &address, jitter);
            }
        }
    }

    /// Each link is good until another one leads to its proxy. All agents of a start renew at about the same time: what
    /// they do then is spread, too.
    fn renewed(&mut self, now: Duration, jitter: f64) {
        self.generation += 1;
        for address in self.missing() {
            self.spread(now, &address, jitter);
        }
    }

    /// Counts no longer as a link to its proxy, though its streams may still run.
    fn leave(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.state = State::Leaving;
        }
    }

    fn spread(&mut self, now: Duration, address: &str, jitter: f64) {
        let wait = Wait { until: now + SPREAD.mul_f64(jitter), ..Wait::default() };
        self.waits.insert(address.to_owned(), wait);
    }

    /// Between half of and the whole of a step that doubles each time.
    fn postpone(&mut self, now: Duration, address: &str, jitter: f64, why: Vain) {
        let wait = self.waits.entry(address.to_owned()).or_default();
        let (count, longest) = match why {
            Vain::Failed => (&mut wait.failures, LONGEST_WAIT),
            Vain::Beside => (&mut wait.beside, LONGEST_WAIT_BESIDE),
        };
        let step = FIRST_WAIT.saturating_mul(1 << (*count).min(16)).min(longest);
        *count = count.saturating_add(1);
        wait.until = now + step.mul_f64(0.5 + jitter / 2.0);
    }

    fn dial(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        for address in self.missing() {
            if self.is_dialling(&address) || self.not_before(&address) > now {
                continue;
            }
            let id = LinkId(self.next);
            self.next += 1;
            let link = Link { address: address.clone(), generation: self.generation, state: State::Dialling };
            self.links.insert(id, link);
            effects.push(Effect::Dial(id, address));
        }
    }

    /// Where the proxies may be found that there is no link to.
    fn missing(&self) -> BTreeSet<String> {
        let (connected, fresh) = (self.connected(), self.fresh());
        let mut addresses = BTreeSet::new();
        for (proxy, address) in &self.wanted {
            if !fresh.contains(proxy.as_str()) {
                addresses.extend(address.clone());
                if address.as_ref().is_none_or(|address| self.is_vain(address)) {
                    addresses.extend(self.entry.iter().cloned());
                }
            }
        }
        // Nobody is left to tell us of new proxies.
        if connected.is_empty() {
            addresses.extend(self.entry.iter().cloned());
        }
        addresses
    }

    /// The proxies that there is a link to which shows our present certificate.
    fn fresh(&self) -> BTreeSet<&str> {
        let fresh = self.links.values().filter_map(|link| match &link.state {
            State::Up { proxy, .. } if link.generation == self.generation => Some(proxy.as_str()),
            _ => None,
        });
        fresh.collect()
    }

    fn is_dialling(&self, address: &str) -> bool {
        self.links.values().any(|link| link.state == State::Dialling && link.address == address)
    }

    /// Whether it was dialled in vain since it last led to whom we looked for.
    fn is_vain(&self, address: &str) -> bool {
        self.waits.get(address).is_some_and(|wait| wait.failures > 0 || wait.beside > 0)
    }

    fn not_before(&self, address: &str) -> Duration {
        self.waits.get(address).map_or(Duration::ZERO, |wait| wait.until)
    }
}

#[cfg(test)]
mod tests;
