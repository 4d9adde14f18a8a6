//! What happens in sessions, on its way to the audit log: merged, bounded, and never waited for by a client.
//!
//! The requests of a session from one place are told in stretches (*chunks*): that one begins at once, and at its end its
//! requests, like ones counted together.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    mem::{self, Discriminant},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Clock;
use crypto::Random;
use domain::error::Kind;
use http::{Method, StatusCode};
use tokio::sync::Notify;

use crate::{
    Session,
    ports::{Happened, Journal, Report, Requests},
};

/// How long a stretch is.
const CHUNK: Duration = Duration::from_secs(300);

/// Kinds of requests that are told apart in a stretch. A client that asks for ever new paths fills neither this agent nor
/// the log.
const KINDS: usize = 100;

/// How much of a path is kept.
const LONGEST_PATH: usize = 200;

/// Stretches that are kept at a time; what is beyond is not told of request by request.
const CHUNKS: usize = 16 * 1024;

/// Places that one session is told of apart at a time: who uses a copy of its certificate shows by where he is. Beyond them
/// it is told without an address, which is not to be anybody else's, and whoever has addresses without end fills neither
/// this agent nor the log.
const PLACES: usize = 8;

/// Reports that wait while auth cannot be reached. More are counted and lost.
const WAITING: usize = 4096;

/// Reports in one call.
const PER_CALL: usize = 128;

/// Lines of reports in one call. Auth has each field paid for before it reads it, and a line has a dozen: this is less than
/// half of what all calls on a connection may need there at one time. More than any report has.
const LINES_PER_CALL: usize = 512;

/// How long reports gather before they are sent.
const GATHER: Duration = Duration::from_secs(1);

/// How often is looked for stretches that are over, and how long a failed call is let be.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long is not told again that the same session was refused, or cut, at the same place for the same reason: a session
/// has as many connections as it likes, and comes back as often.
const SAME_REFUSAL: Duration = Duration::from_secs(60);

/// How long the last reports may take when the agent stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Recorder {
    journal: Arc<dyn Journal>,
    clock: Clock,
    random: Random,
    state: Mutex<State>,
    is_due: Notify,
}

#[derive(Default)]
struct State {
    chunks: BTreeMap<Key, Chunk>,
    /// When it was told what (session, what happened to it, why) of whom.
    told: HashMap<(String, Discriminant<Happened>, String), BTreeMap<Place, Duration>>,
    waiting: Vec<Report>,
    lost: u64,
}

/// Where a client is, and whether that is certain: the port 0 says that the proxy has just anybody's word for it. None: it is
/// not known, or not told apart.
type Place = Option<(IpAddr, bool)>;

/// A session (its `sid`), and where.
type Key = (String, Place);

fn place(source: Option<SocketAddr>) -> Place {
    source.map(|source| (source.ip().to_canonical(), source.port() != 0))
}

impl State {
    /// How many places of a session have a stretch.
    fn places(&self, sid: &str) -> usize {
        let from_first = self.chunks.range((sid.to_owned(), None)..);
        from_first.take_while(|((of, _), _)| of == sid).filter(|((_, place), _)| place.is_some()).count()
    }

    /// What is told next: so many reports at most, and no more than one call takes.
    fn next(&self, most: usize) -> Vec<Report> {
        let mut lines = 0;
        let fits = |report: &&Report| {
            lines += report.lines();
            lines <= LINES_PER_CALL
        };
        self.waiting.iter().take(most).take_while(fits).cloned().collect()
    }
}

struct Chunk {
    id: String,
    begun: Duration,
    session: Session,
    source: Option<SocketAddr>,
    /// By path: one that was asked for before is found without a copy of it.
    requests: HashMap<String, Vec<Like>>,
    kinds: usize,
    others: u64,
}

struct Like {
    method: Method,
    status: StatusCode,
    count: u64,
}

impl Recorder {
    pub(crate) fn new(journal: Arc<dyn Journal>, clock: Clock, random: Random) -> Self {
        Self { journal, clock, random, state: Mutex::default(), is_due: Notify::new() }
    }

    /// A connection that is not told of request by request.
    pub(crate) fn connected(&self, session: &Session, source: Option<SocketAddr>) {
        drop(self.chunk(session, source));
    }

    /// A request that was answered.
    pub(crate) fn request(
        &self,
        session: &Session,
        source: Option<SocketAddr>,
        (method, path, status): (&Method, &str, StatusCode),
    ) {
        let (mut state, key) = self.chunk(session, source);
        let Some(chunk) = state.chunks.get_mut(&key) else { return };
        let path = path.char_indices().nth(LONGEST_PATH).map_or(path, |(end, _)| &path[..end]);
        let is_like = |like: &&mut Like| like.method == method && like.status == status;
        if let Some(like) = chunk.requests.get_mut(path).and_then(|likes| likes.iter_mut().find(is_like)) {
            like.count += 1;
        } else if chunk.kinds < KINDS {
            let like = Like { method: method.clone(), status, count: 1 };
            chunk.requests.entry(path.to_owned()).or_default().push(like);
            chunk.kinds += 1;
        } else {
            chunk.others += 1;
        }
    }

    /// A session that was not let in.
    pub(crate) fn refused(&self, session: &Session, source: Option<SocketAddr>, reason: &str) {
        self.tell_once(session, source, Happened::Refused(reason.to_owned()), reason);
    }

    /// A connection of a session that was ended.
    pub(crate) fn cut(&self, session: &Session, source: Option<SocketAddr>, reason: &str) {
        self.tell_once(session, source, Happened::Cut(reason.to_owned()), reason);
    }

    fn tell_once(&self, session: &Session, source: Option<SocketAddr>, what: Happened, reason: &str) {
        let (mut state, now) = (self.lock(), self.clock.monotonic());
        // Counted from the one that was told: whoever goes on trying is told of again.
        let key = (session.sid().to_owned(), mem::discriminant(&what), reason.to_owned());
        let told = state.told.entry(key).or_default();
        told.retain(|_, told| now.saturating_sub(*told) < SAME_REFUSAL);
        let source = source.filter(|_| told.len() < PLACES || told.contains_key(&place(source)));
        if let Entry::Vacant(new) = told.entry(place(source)) {
            new.insert(now);
            self.push(&mut state, session, source, what);
        }
    }

    /// Anything else.
    pub(crate) fn happened(&self, session: &Session, source: Option<SocketAddr>, what: Happened) {
        self.push(&mut self.lock(), session, source, what);
    }

    /// Sends what there is, for ever.
    pub(crate) async fn run(&self) {
        loop {
            tokio::select! {
                () = self.is_due.notified() => self.clock.sleep(GATHER).await,
                () = self.clock.sleep(LOOK_EVERY) => {}
            }
            self.finish(false);
            self.send().await;
        }
    }

    /// Sends the rest: nothing is served any more.
    pub(crate) async fn farewell(&self) {
        self.finish(true);
        if self.clock.timeout(FAREWELL, self.send()).await.is_err() {
            tracing::warn!("the last reports for the audit log could not be sent");
        }
    }

    /// The state, and where in it the session has a stretch that runs, unless there are too many.
    fn chunk(&self, session: &Session, source: Option<SocketAddr>) -> (MutexGuard<'_, State>, Key) {
        let (mut state, now) = (self.lock(), self.clock.monotonic());
        let is_running =
            |chunk: &Chunk| now.saturating_sub(chunk.begun) < CHUNK && chunk.session.not_after() > self.clock.now();
        let mut key = (session.sid().to_owned(), place(source));
        let has_room = state.places(session.sid()) < PLACES && state.chunks.len() < CHUNKS / 2;
        let is_apart = has_room || state.chunks.contains_key(&key);
        let source = source.filter(|_| is_apart);
        key.1 = place(source);
        if state.chunks.get(&key).is_some_and(is_running) {
            return (state, key);
        }
        if let Some(over) = state.chunks.remove(&key) {
            self.close(&mut state, over);
        }
        if state.chunks.len() < CHUNKS {
            let id = self.random.uuid().to_string();
            let chunk = Chunk {
                id: id.clone(),
                begun: now,
                session: session.clone(),
                source,
                requests: HashMap::new(),
                kinds: 0,
                others: 0,
            };
            state.chunks.insert(key.clone(), chunk);
            self.push(&mut state, session, source, Happened::Chunk(id));
        }
        (state, key)
    }

    /// Puts the requests of stretches that are over among the reports.
    fn finish(&self, all: bool) {
        let (mut state, now, wall) = (self.lock(), self.clock.monotonic(), self.clock.now());
        let is_over =
            |chunk: &Chunk| all || now.saturating_sub(chunk.begun) >= CHUNK || chunk.session.not_after() <= wall;
        let over: Vec<Chunk> = state.chunks.extract_if(.., |_, chunk| is_over(chunk)).map(|(_, chunk)| chunk).collect();
        for chunk in over {
            self.close(&mut state, chunk);
        }
        state.told.retain(|_, told| told.values().any(|last| now.saturating_sub(*last) < SAME_REFUSAL));
    }

    fn close(&self, state: &mut State, chunk: Chunk) {
        let Chunk { id, session, source, requests, others, .. } = chunk;
        let mut requests: Vec<Requests> = requests
            .into_iter()
            .flat_map(|(path, likes)| likes.into_iter().map(move |like| (path.clone(), like)))
            .map(|(path, like)| Requests {
                method: like.method.to_string(),
                path,
                status: like.status.as_u16(),
                count: like.count,
            })
            .collect();
        if others > 0 {
            requests.push(Requests { method: String::new(), path: String::new(), status: 0, count: others });
        }
        if !requests.is_empty() {
            self.push(state, &session, source, Happened::Requests(id, requests));
        }
    }

    fn push(&self, state: &mut State, session: &Session, source: Option<SocketAddr>, what: Happened) {
        if state.waiting.len() >= WAITING {
            state.lost += 1;
            return;
        }
        state.waiting.push(Report { session: session.clone(), source, what });
        self.is_due.notify_one();
    }

    async fn send(&self) {
        let mut most = PER_CALL;
        loop {
            // They stay until auth has them: a call that is broken off is made again.
            let (reports, lost) = {
                let mut state = self.lock();
                (state.next(most), mem::take(&mut state.lost))
            };
            if lost > 0 {
                tracing::warn!(lost, "reports for the audit log were lost: more came than the auth service took");
            }
            if reports.is_empty() {
                return;
            }
            match self.journal.report(&reports).await {
                Ok(()) => {}
                // Other calls may have taken what auth has for all of them; fewer reports need less.
                Err(error) if error.kind == Kind::Limit && reports.len() > 1 => {
                    most = reports.len() / 2;
                    continue;
                }
                Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Limit) => {
                    return tracing::debug!(%error, "reports for the audit log wait");
                }
                Err(error) => {
                    tracing::error!(%error, reports = reports.len(), "the auth service does not take our reports");
                }
            }
            self.lock().waiting.drain(..reports.len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
