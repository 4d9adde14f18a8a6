//! The machine alone, then in a simulated network: proxies start, stop, crash and drain, a balancer chooses among them,
//! links are lost or half open, nobody is reached for a while, words are late, and ends arrive in any order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn hello(proxy: &str, incarnation: &str, peers: &[(&str, Option<&str>)]) -> Hello {
    let peers = peers.iter().map(|(id, address)| Peer { id: (*id).into(), address: address.map(Into::into) }).collect();
    Hello { proxy: proxy.into(), incarnation: incarnation.into(), peers }
}

fn machine() -> Machine {
    Machine::new(["entry:1".to_owned()])
}

fn renewed() -> Event {
    Event::Entry { addresses: vec!["entry:1".to_owned()], is_renewed: true }
}

fn dialled(effects: &[Effect]) -> Vec<(LinkId, &str)> {
    let dials = effects.iter().filter_map(|effect| match effect {
        Effect::Dial(link, address) => Some((*link, address.as_str())),
        Effect::Close(_) => None,
    });
    dials.collect()
}

#[test]
fn it_dials_the_entry_first_and_the_others_when_it_hears_of_them() {
    let mut machine = machine();
    let effects = machine.on(SECOND, Event::Tick, 0.5);
    let [(first, "entry:1")] = dialled(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(machine.on(SECOND, Event::Tick, 0.5), [], "one dial at a time for each address");
    let effects = machine.on(SECOND, Event::Up(first, hello("a", "1", &[("a", None), ("b", Some("b:1"))])), 0.5);
    assert_eq!(dialled(&effects).len(), 1);
    let (second, address) = dialled(&effects)[0];
    assert_eq!(address, "b:1");
    drop(machine.on(SECOND, Event::Up(second, hello("b", "1", &[("a", None), ("b", Some("b:1"))])), 0.5));
    assert!(machine.is_complete());
    assert_eq!(machine.wake(), None);
}

#[test]
fn a_second_link_to_the_same_process_is_let_go_and_the_entry_tried_again_later() {
    let mut machine = machine();
    let peers = [("a", None), ("b", None)];
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    let effects = machine.on(SECOND, Event::Up(first, hello("a", "1", &peers)), 0.5);
    let (second, _) = dialled(&effects)[0];
    let effects = machine.on(SECOND, Event::Up(second, hello("a", "1", &peers)), 0.0);
    assert_eq!(effects, [Effect::Close(second)]);
    assert_eq!(machine.wake(), Some(SECOND + FIRST_WAIT / 2));
    assert_eq!(machine.connected(), BTreeSet::from(["a"]));
}

#[test]
fn a_link_to_the_successor_of_a_crashed_proxy_takes_the_place_of_the_half_open_one() {
    let mut machine = machine();
    let peers = [("a", None), ("b", None)];
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    let (second, _) = dialled(&machine.on(SECOND, Event::Up(first, hello("a", "1", &peers)), 0.5))[0];
    let effects = machine.on(SECOND, Event::Up(second, hello("a", "2", &peers)), 0.5);
    assert_eq!(effects[0], Effect::Close(first));
    assert_eq!(machine.connected(), BTreeSet::from(["a"]));
}

#[test]
fn a_draining_proxy_is_replaced_while_its_link_still_lives() {
    let mut machine = machine();
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    drop(machine.on(SECOND, Event::Up(first, hello("a", "1", &[("a", None)])), 0.5));
    let effects = machine.on(20 * SECOND, Event::Draining(first), 0.5);
    assert_eq!(effects, [], "not at once: all agents hear it together");
    assert_eq!(machine.wake(), Some(20 * SECOND + SPREAD / 2));
    let effects = machine.on(20 * SECOND + SPREAD, Event::Tick, 0.5);
    assert_eq!(dialled(&effects).len(), 1);
    assert_eq!(machine.on(20 * SECOND + SPREAD, Event::Down(first), 0.5), []);
}

#[test]
fn an_agent_that_loses_its_last_link_waits_no_longer_for_having_met_that_proxy_too_often() {
    let mut machine = machine();
    let peers = [("a", None), ("b", Some("b:1"))];
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    let (second, _) = dialled(&machine.on(SECOND, Event::Up(first, hello("a", "1", &peers)), 0.5))[0];
    drop(machine.on(SECOND, Event::Up(second, hello("b", "1", &peers)), 0.5));
    let mut now = 20 * SECOND;
    drop(machine.on(now, Event::Down(first), 0.5));
    while now < 120 * SECOND {
        now = machine.wake().expect("the other proxy is looked for");
        let (again, _) = dialled(&machine.on(now, Event::Tick, 0.5))[0];
        assert_eq!(machine.on(now, Event::Up(again, hello("b", "1", &peers)), 0.5), [Effect::Close(again)]);
    }
    assert!(machine.wake() > Some(now + 2 * SPREAD), "as long as there is a link");
    let effects = machine.on(now, Event::Down(second), 0.0);
    let addresses: BTreeSet<&str> = dialled(&effects).into_iter().map(|(_, address)| address).collect();
    assert_eq!(addresses, BTreeSet::from(["b:1", "entry:1"]));
}

#[test]
fn a_long_outage_delays_nobodys_search_for_the_other_proxy() {
    let mut machine = machine();
    let mut now = SECOND;
    while now < 120 * SECOND {
        let (link, _) = dialled(&machine.on(now, Event::Tick, 0.5))[0];
        drop(machine.on(now, Event::Down(link), 0.5));
        now = machine.wake().expect("the cluster is looked for");
    }
    let a = || hello("a", "1", &[("a", None), ("b", None)]);
    let (first, _) = dialled(&machine.on(now, Event::Tick, 0.5))[0];
    let (again, _) = dialled(&machine.on(now, Event::Up(first, a()), 0.5))[0];
    drop(machine.on(now, Event::Up(again, a()), 0.5));
    assert!(machine.wake().expect("the other one is looked for") <= now + FIRST_WAIT);
}

#[test]
fn a_renewed_agent_links_anew_before_it_lets_the_old_link_go() {
    let mut machine = machine();
    let hello = || hello("a", "1", &[("a", None)]);
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    drop(machine.on(SECOND, Event::Up(first, hello()), 0.5));
    let same = Event::Entry { addresses: vec!["entry:1".to_owned()], is_renewed: false };
    assert_eq!(machine.on(20 * SECOND, same, 0.5), [], "the same certificate");
    assert_eq!(machine.on(20 * SECOND, renewed(), 0.5), [], "not at once: others renew at the same time");
    assert_eq!(machine.connected(), BTreeSet::from(["a"]), "it still leads there");
    let (second, _) = dialled(&machine.on(20 * SECOND + SPREAD, Event::Tick, 0.5))[0];
    assert_eq!(machine.on(20 * SECOND + SPREAD, Event::Up(second, hello()), 0.5), [Effect::Close(first)]);
    assert_eq!(machine.connected(), BTreeSet::from(["a"]));
    assert!(machine.is_complete());
    drop(machine.on(30 * SECOND, Event::Down(first), 0.5));
    assert_eq!(machine.wake(), None, "one link is enough");
    let moved = Event::Entry { addresses: vec!["other:1".to_owned()], is_renewed: false };
    drop(machine.on(31 * SECOND, moved, 0.5));
    let effects = machine.on(50 * SECOND, Event::Down(second), 0.0);
    assert_eq!(dialled(&effects).len(), 1);
    assert_eq!(dialled(&effects)[0].1, "other:1");
}

#[test]
fn a_link_that_was_dialled_before_a_renewal_is_replaced_though_it_came_up_after_it() {
    let mut machine = machine();
    let hello = || hello("a", "1", &[("a", None)]);
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    drop(machine.on(SECOND, renewed(), 0.5));
    drop(machine.on(SECOND, Event::Up(first, hello()), 0.5));
    assert_eq!(machine.connected(), BTreeSet::from(["a"]), "it leads there, until the old certificate ends");
    let (second, _) = dialled(&machine.on(SECOND + SPREAD, Event::Tick, 0.5))[0];
    assert_eq!(machine.on(SECOND + SPREAD, Event::Up(second, hello()), 0.5), [Effect::Close(first)]);
    assert!(machine.is_complete());
}

#[test]
fn a_proxy_that_accepts_and_drops_is_dialled_ever_more_seldom() {
    let mut machine = machine();
    let mut now = SECOND;
    let mut dials = 0;
    while now < 600 * SECOND {
        for (link, _) in dialled(&machine.on(now, Event::Tick, 0.0)) {
            dials += 1;
            drop(machine.on(now, Event::Up(link, hello("a", "1", &[])), 0.0));
            drop(machine.on(now, Event::Down(link), 0.0));
        }
        now += SECOND / 10;
    }
    assert!((100..140).contains(&dials), "{dials}");
}

#[test]
fn a_proxy_that_is_not_met_where_it_says_that_it_is_is_looked_for_at_the_entry_too() {
    let mut machine = machine();
    let peers = [("a", Some("a:1")), ("b", Some("b:1"))];
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    let effects = machine.on(SECOND, Event::Up(first, hello("a", "1", &peers)), 0.5);
    let [(nowhere, "b:1")] = dialled(&effects)[..] else { panic!("{effects:?}") };
    let effects = machine.on(2 * SECOND, Event::Down(nowhere), 0.5);
    let [(second, "entry:1")] = dialled(&effects)[..] else { panic!("{effects:?}") };
    drop(machine.on(2 * SECOND, Event::Up(second, hello("b", "1", &peers)), 0.5));
    assert!(machine.is_complete());
}

#[test]
fn a_proxy_that_comes_is_looked_for_at_once_though_its_address_led_to_others_for_long() {
    let mut machine = machine();
    let both = [("a", Some("entry:1")), ("b", Some("entry:1"))];
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    drop(machine.on(SECOND, Event::Up(first, hello("a", "1", &both[..1])), 0.5));
    let peers = |peers: &[(&str, Option<&str>)]| Event::Peers(first, hello("a", "1", peers).peers);
    let mut now = SECOND;
    let mut effects = machine.on(now, peers(&both), 0.5);
    while now < 60 * SECOND {
        let (again, _) = dialled(&effects)[0];
        drop(machine.on(now, Event::Up(again, hello("a", "1", &both)), 0.5));
        now = machine.wake().expect("the other proxy is looked for");
        effects = machine.on(now, Event::Tick, 0.5);
    }
    let (again, _) = dialled(&effects)[0];
    drop(machine.on(now, Event::Up(again, hello("a", "1", &both)), 0.5));
    assert!(machine.wake() > Some(now + SPREAD));
    drop(machine.on(now, peers(&both[..1]), 0.5));
    drop(machine.on(now, peers(&both), 0.5));
    assert!(machine.wake() <= Some(now + SPREAD), "{:?}", machine.wake());
}

#[test]
fn a_proxy_cannot_make_us_dial_without_end() {
    let mut machine = machine();
    let (first, _) = dialled(&machine.on(SECOND, Event::Tick, 0.5))[0];
    let ids: Vec<String> = (0..1000).map(|n| format!("p{n}")).collect();
    let peers: Vec<(&str, Option<&str>)> = ids.iter().map(|id| (id.as_str(), Some(id.as_str()))).collect();
    let effects = machine.on(SECOND, Event::Up(first, hello("a", "1", &peers)), 0.5);
    assert!(dialled(&effects).len() <= MAX_PROXIES);
}

/// A proxy of the simulated cluster.
#[derive(Clone, Debug)]
struct Proxy {
    id: String,
    incarnation: u32,
    is_alive: bool,
    address: Option<String>,
}

/// The address that a proxy says it has: none, one that leads nowhere from here, a balancer's, or its own.
fn address(kind: u8, id: &str) -> Option<String> {
    [None, Some("nowhere:1"), Some("entry:1"), Some(id)][usize::from(kind)].map(str::to_owned)
}

#[derive(Debug)]
struct Connection {
    proxy: usize,
    incarnation: u32,
    generation: u32,
    is_cut: bool,
    is_up: bool,
    /// When the agent notices the end of a link that is cut.
    noticed: Option<Duration>,
}

/// The network and the proxies, with one agent in it.
struct World {
    now: Duration,
    machine: Machine,
    proxies: Vec<Proxy>,
    connections: BTreeMap<LinkId, Connection>,
    /// Where to, with which certificate, and when it ends.
    dialling: BTreeMap<LinkId, (String, u32, Duration)>,
    /// The agent's certificate.
    generation: u32,
    /// What proxies have said and the agent has not heard yet, in the order in which it was said.
    said: Vec<(Duration, LinkId, Vec<Peer>)>,
    /// Until then no dial reaches anybody.
    dark: Duration,
    dials: u32,
    seed: u64,
}

#[derive(Clone, Debug)]
enum Trouble {
    Crash(usize),
    Start(usize),
    Drain(usize),
    Cut(usize),
    HalfOpen(usize),
    /// For so many seconds all dials fail, though proxies live.
    Dark(u8),
    Renew,
    Wait(u8),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        (0..4usize).prop_map(Trouble::Crash),
        (0..4usize).prop_map(Trouble::Start),
        (0..4usize).prop_map(Trouble::Drain),
        (0..8usize).prop_map(Trouble::Cut),
        (0..8usize).prop_map(Trouble::HalfOpen),
        (1..40u8).prop_map(Trouble::Dark),
        Just(Trouble::Renew),
        (1..40u8).prop_map(Trouble::Wait),
    ]
}

impl World {
    fn new(proxies: Vec<Proxy>, seed: u64) -> Self {
        Self {
            now: SECOND,
            machine: machine(),
            proxies,
            connections: BTreeMap::new(),
            dialling: BTreeMap::new(),
            generation: 0,
            said: Vec::new(),
            dark: Duration::ZERO,
            dials: 0,
            seed: seed | 1,
        }
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// Up to so many milliseconds.
    fn some(&mut self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.random() % milliseconds)
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for last in (1..items.len()).rev() {
            let other = self.random() as usize % (last + 1);
            items.swap(last, other);
        }
        items
    }

    fn tell(&mut self, event: Event) {
        let jitter = (self.random() % 1000) as f64 / 1000.0;
        for effect in self.machine.on(self.now, event, jitter) {
            match effect {
                Effect::Dial(link, address) => {
                    assert!(
                        self.dialling.values().all(|(other, ..)| *other != address),
                        "two dials of one address at a time"
                    );
                    self.dials += 1;
                    let takes = self.some(800);
                    self.dialling.insert(link, (address, self.generation, self.now + takes));
                }
                Effect::Close(link) => {
                    let end = self.now + self.some(5000);
                    let connection = self.connections.get_mut(&link).expect("only a link that exists is closed");
                    connection.noticed.get_or_insert(end);
                }
            }
        }
    }

    fn peers(&self) -> Vec<Peer> {
        let alive = self.proxies.iter().filter(|proxy| proxy.is_alive);
        alive.map(|proxy| Peer { id: proxy.id.clone(), address: proxy.address.clone() }).collect()
    }

    /// Who answers at an address: the proxy of that name, or whomever the balancer picks.
    fn answer(&mut self, address: &str) -> Option<usize> {
        if self.now < self.dark {
            return None;
        }
        let alive: Vec<usize> = (0..self.proxies.len()).filter(|at| self.proxies[*at].is_alive).collect();
        if address != "entry:1" {
            return alive.into_iter().find(|at| self.proxies[*at].id == address);
        }
        let pick = self.random() as usize;
        (!alive.is_empty()).then(|| alive[pick % alive.len()])
    }

    fn step(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += Duration::from_millis(100);
            let done: Vec<LinkId> =
                self.dialling.iter().filter(|(_, (.., at))| *at <= self.now).map(|(link, _)| *link).collect();
            for link in self.shuffled(done) {
                let Some((address, generation, _)) = self.dialling.remove(&link) else { continue };
                match self.answer(&address) {
                    None => self.tell(Event::Down(link)),
                    Some(proxy) => {
                        let incarnation = self.proxies[proxy].incarnation;
                        let connection =
                            Connection { proxy, incarnation, generation, is_cut: false, is_up: true, noticed: None };
                        self.connections.insert(link, connection);
                        let peers = self.peers();
                        let proxy = self.proxies[proxy].id.clone();
                        self.tell(Event::Up(link, Hello { proxy, incarnation: incarnation.to_string(), peers }));
                    }
                }
            }
            let ended: Vec<LinkId> = self
                .connections
                .iter()
                .filter(|(_, connection)| connection.noticed.is_some_and(|at| at <= self.now))
                .map(|(link, _)| *link)
                .collect();
            for link in self.shuffled(ended) {
                self.connections.remove(&link);
                self.tell(Event::Down(link));
            }
            self.hear();
            if self.machine.wake().is_some_and(|at| at <= self.now) {
                self.tell(Event::Tick);
            }
        }
    }

    /// What has been under way long enough arrives, unless its link has ended meanwhile: that word is lost.
    fn hear(&mut self) {
        let (now, said) = (self.now, std::mem::take(&mut self.said));
        let (due, later): (Vec<_>, Vec<_>) = said.into_iter().partition(|(at, ..)| *at <= now);
        self.said = later;
        for (_, link, peers) in due {
            if self.connections.get(&link).is_some_and(|connection| !connection.is_cut) {
                self.tell(Event::Peers(link, peers));
            }
        }
    }

    /// Proxies tell their agents of changes among them, as far as the links still carry it: some time later, in order on
    /// each link, in any order between links.
    fn gossip(&mut self) {
        let links: Vec<LinkId> =
            self.connections.iter().filter(|(_, c)| !c.is_cut && c.is_up).map(|(link, _)| *link).collect();
        for link in links {
            let before = self.said.iter().filter(|(_, other, _)| *other == link).map(|(at, ..)| *at).max();
            let at = (self.now + self.some(4000)).max(before.unwrap_or_default());
            self.said.push((at, link, self.peers()));
        }
    }

    fn end_links(&mut self, proxy: usize, after: Duration) {
        let noticed = self.now + after;
        for connection in self.connections.values_mut().filter(|connection| connection.proxy == proxy) {
            connection.is_cut = true;
            connection.noticed.get_or_insert(noticed);
        }
    }

    fn suffer(&mut self, trouble: Trouble) {
        let count = self.proxies.len();
        match trouble {
            Trouble::Crash(at) => {
                self.proxies[at % count].is_alive = false;
                // Some ends are seen at once, some by the pings only.
                let after = if self.random().is_multiple_of(2) { Duration::ZERO } else { 25 * SECOND };
                self.end_links(at % count, after);
            }
            Trouble::Start(at) => {
                let proxy = &mut self.proxies[at % count];
                if !proxy.is_alive {
                    proxy.is_alive = true;
                    proxy.incarnation += 1;
                }
            }
            Trouble::Drain(at) => {
                self.proxies[at % count].is_alive = false;
                let links: Vec<LinkId> = self
                    .connections
                    .iter()
                    .filter(|(_, c)| c.proxy == at % count && !c.is_cut)
                    .map(|(link, _)| *link)
                    .collect();
                for link in links {
                    self.tell(Event::Draining(link));
                }
                self.end_links(at % count, 5 * SECOND);
            }
            Trouble::Cut(at) | Trouble::HalfOpen(at) => {
                let after = if matches!(trouble, Trouble::Cut(_)) { Duration::ZERO } else { 25 * SECOND };
                let noticed = self.now + after;
                let keys: Vec<LinkId> = self.connections.keys().copied().collect();
                if let Some(link) = keys.get(at % keys.len().max(1))
                    && let Some(connection) = self.connections.get_mut(link)
                {
                    connection.is_cut = true;
                    connection.noticed.get_or_insert(noticed);
                }
            }
            Trouble::Renew => {
                self.generation += 1;
                self.tell(renewed());
            }
            Trouble::Dark(seconds) => self.dark = self.now + SECOND * u32::from(seconds),
            Trouble::Wait(seconds) => self.step(SECOND * u32::from(seconds)),
        }
        self.gossip();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn after_any_trouble_there_is_one_live_link_to_every_proxy(
        count in 1..4usize,
        kind in 0..4u8,
        troubles in proptest::collection::vec(trouble(), 0..24),
        seed in any::<u64>(),
    ) {
        let proxies = (0..count).map(|n| format!("p{n}")).map(|id| {
            Proxy { address: address(kind, &id), id, incarnation: 1, is_alive: true }
        });
        let mut world = World::new(proxies.collect(), seed);
        world.tell(Event::Tick);
        for trouble in troubles {
            world.suffer(trouble);
        }
        for at in 0..count {
            world.suffer(Trouble::Start(at));
        }
        // Ends that only pings tell of are known after this; then the balancer picks whom it likes.
        world.step(60 * SECOND);
        for _ in 0..60 {
            if !world.machine.is_complete() || !world.dialling.is_empty() {
                world.step(60 * SECOND);
            }
        }
        let alive: BTreeSet<String> = world.proxies.iter().map(|proxy| proxy.id.clone()).collect();
        let connected: BTreeSet<String> = world.machine.connected().into_iter().map(str::to_owned).collect();
        prop_assert_eq!(&connected, &alive);
        prop_assert!(world.machine.is_complete());
        for proxy in 0..count {
            let live = world.connections.values().filter(|c| c.proxy == proxy && !c.is_cut).count();
            prop_assert_eq!(live, 1, "links to {}", proxy);
            prop_assert!(world.connections.values().all(|c| c.incarnation <= world.proxies[c.proxy].incarnation));
            let has_present = |c: &Connection| c.is_cut || c.generation == world.generation;
            prop_assert!(world.connections.values().all(has_present), "an old certificate");
        }
        prop_assert!(world.dialling.is_empty());
        let dials = world.dials;
        world.step(600 * SECOND);
        prop_assert_eq!(world.dials, dials, "who is complete dials nobody");
    }

    #[test]
    fn whatever_happens_no_address_is_dialled_in_a_tight_loop(
        troubles in proptest::collection::vec(trouble(), 0..24),
        seed in any::<u64>(),
    ) {
        let proxies = [0, 1, 3].map(|kind| (kind, format!("p{kind}"))).into_iter().map(|(kind, id)| {
            Proxy { address: address(kind, &id), id, incarnation: 1, is_alive: kind == 0 }
        });
        let mut world = World::new(proxies.collect(), seed);
        world.tell(Event::Tick);
        for trouble in troubles {
            world.suffer(trouble);
        }
        // Each wait is at least a quarter of a second, and a cluster of three has at most four addresses.
        let seconds = u32::try_from(world.now.as_secs()).unwrap();
        prop_assert!(world.dials <= seconds * 16 + 64, "{} dials in {} s", world.dials, seconds);
    }
}
