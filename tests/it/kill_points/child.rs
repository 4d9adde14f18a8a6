//! The server that dies: from outside, a process that is told what to do line by line; from inside, the server with a
//! witness at its store.

use std::{
    env,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use clock::{ManualClock, Timestamp};
use crypto::x509::Certificate;
use daemon::{Environment, Server};
use testkit::{DurableWrite, Options, Witness, Witnessed, config};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdin, Command},
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};

use super::scenario::Door;

/// Where the child's cluster is, the time it lives by, and where it is to die if that is known at the start.
const DIRECTORY: &str = "TESSERA_TEST_DIRECTORY";
const NOW: &str = "TESSERA_TEST_NOW";
const DEATH: &str = "TESSERA_TEST_DEATH";

/// What the child's lines begin with; the test harness writes, too.
const MARK: &str = "server: ";

/// Longer than anything takes that a child is asked to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// On which side of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

/// Where to die: at this durable write, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    pub(super) moment: Moment,
    pub(super) number: usize,
}

impl Death {
    fn to_text(self) -> String {
        format!("{} {}", if self.moment == Moment::Before { "before" } else { "after" }, self.number)
    }

    fn from_text(text: &str) -> Self {
        let (moment, number) = text.split_once(' ').unwrap();
        let moment = if moment == "before" { Moment::Before } else { Moment::After };
        Self { moment, number: number.parse().unwrap() }
    }
}

/// The child from outside.
pub(super) struct Child {
    process: Arc<tokio::sync::Mutex<tokio::process::Child>>,
    pub(super) controls: Controls,
    /// The process has ended, and nobody outside ended it.
    pub(super) died_on_its_own: Arc<Notify>,
    last: Arc<Mutex<Option<String>>>,
}

/// What the child can be told.
pub(super) struct Controls {
    input: ChildStdin,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Controls {
    async fn tell(&mut self, command: &str) {
        // A dead child reads nothing; that is noticed elsewhere.
        let _ = self.input.write_all(format!("{command}\n").as_bytes()).await;
    }

    async fn hear(&mut self, word: &str) -> Option<String> {
        let wait = async {
            loop {
                let line = self.lines.recv().await?;
                if let Some(rest) = line.strip_prefix(word) {
                    return Some(rest.trim().to_owned());
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("the child never said {word:?}"))
    }

    /// Lets so much of the server's time pass, and waits until nothing is written any more. Never returns when the server
    /// dies of it.
    pub(super) async fn pass(&mut self, span: Duration) {
        self.tell(&format!("pass {}", span.as_secs())).await;
        self.done().await;
    }

    /// Stops the server softly. Never returns when the server dies of it.
    pub(super) async fn stop(&mut self) {
        self.tell("stop").await;
        self.done().await;
    }

    async fn done(&mut self) {
        if self.hear("done").await.is_none() {
            std::future::pending().await
        }
    }
}

impl Child {
    pub(super) async fn start(directory: &Path, now: Timestamp, death: Option<Death>) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill_points::server_that_dies", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(NOW, now.as_second().to_string())
            .env(DEATH, death.map(Death::to_text).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (send, lines) = mpsc::unbounded_channel();
        let (died_on_its_own, last) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
        tokio::spawn({
            let (died, last) = (Arc::clone(&died_on_its_own), Arc::clone(&last));
            async move {
                let mut output = BufReader::new(output).lines();
                while let Ok(Some(line)) = output.next_line().await {
                    let Some((_, line)) = line.split_once(MARK) else { continue };
                    if let Some(write) = line.strip_prefix("dies at ") {
                        *last.lock().unwrap() = Some(write.to_owned());
                    }
                    let _ = send.send(line.to_owned());
                }
                died.notify_one();
            }
        });
        let process = Arc::new(tokio::sync::Mutex::new(process));
        Self { process, controls: Controls { input, lines }, died_on_its_own, last }
    }

    /// Where it can be reached once it serves; nothing when it died before.
    pub(super) async fn ready(&mut self) -> Option<Door> {
        let line = self.controls.hear("ready ").await?;
        let [address, socket, certificate] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let address: SocketAddr = address.parse().unwrap();
        let authority = Certificate::from_pem(&certificate.replace('|', "\n")).unwrap();
        Some(Door::new(address, socket.into(), vec![authority]))
    }

    pub(super) async fn arm(&mut self, death: Death) {
        self.controls.tell(&format!("die {}", death.to_text())).await;
        self.controls.done().await;
    }

    /// Whether it goes on; one that is about to die has said so by the time that a connection to it breaks, or says so
    /// within a moment.
    pub(super) async fn is_alive(&self) -> bool {
        sleep(Duration::from_millis(50)).await;
        self.last.lock().unwrap().is_none()
    }

    /// Ends it from outside, without any warning.
    pub(super) async fn end(self) {
        self.process.lock().await.kill().await.unwrap();
    }

    /// Waits for its death, and says at which write it died.
    pub(super) async fn last_words(self) -> String {
        let status = timeout(PATIENCE, async { self.process.lock().await.wait().await }).await;
        let status = status.expect("the child never ended").unwrap();
        let last = self.last.lock().unwrap().clone();
        last.unwrap_or_else(|| panic!("the child ended ({status}) without having been told to"))
    }
}

/// The witness in the child.
struct Killer {
    /// Writes since it was armed.
    count: AtomicUsize,
    death: Mutex<Option<Death>>,
    /// All writes, for whoever waits until there are no more.
    all: AtomicUsize,
    /// The write that began last is the one to die after.
    dying: Mutex<Option<usize>>,
}

impl Killer {
    fn arm(&self, death: Death) {
        self.count.store(0, Ordering::SeqCst);
        *self.death.lock().unwrap() = Some(death);
    }

    async fn die(&self, write: &DurableWrite) {
        say(&format!("dies at {}", write.what));
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
        std::future::pending().await
    }
}

#[async_trait]
impl Witness for Killer {
    async fn before(&self, write: &DurableWrite) {
        self.all.fetch_add(1, Ordering::SeqCst);
        let Some(death) = *self.death.lock().unwrap() else { return };
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 != death.number {
            return;
        }
        match death.moment {
            Moment::Before => self.die(write).await,
            Moment::After => *self.dying.lock().unwrap() = Some(write.number),
        }
    }

    async fn after(&self, write: &DurableWrite) {
        let is_the_one = *self.dying.lock().unwrap() == Some(write.number);
        if is_the_one {
            self.die(write).await;
        }
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "{MARK}{line}").and_then(|()| output.flush()).unwrap();
}

/// The child from inside.
pub(super) async fn serve() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let now = env::var(NOW).unwrap().parse().unwrap();
    let clock = ManualClock::new(Timestamp::from_second(now).unwrap());
    let killer = Arc::new(Killer {
        count: AtomicUsize::new(0),
        death: Mutex::new(
            Some(env::var(DEATH).unwrap()).filter(|text| !text.is_empty()).map(|text| Death::from_text(&text)),
        ),
        all: AtomicUsize::new(0),
        dying: Mutex::new(None),
    });
    let options = Options { clock: clock.clock(), ..Options::default() };
    let environment = Environment {
        clock: clock.clock(),
        around_store: Some(Witnessed::around(Arc::clone(&killer) as Arc<dyn Witness>)),
        ..Environment::system()
    };
    let server = Server::start(&config(&directory, &options), environment).await.unwrap();
    let authority = server.auth().host_certificates().unwrap()[0].to_pem().replace('\n', "|");
    say(&format!("ready {} {} {authority}", server.auth_addr(), server.admin_socket().display()));
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(command)) = commands.next_line().await {
        if let Some(death) = command.strip_prefix("die ") {
            killer.arm(Death::from_text(death));
        } else if let Some(seconds) = command.strip_prefix("pass ") {
            quiet(&killer).await;
            clock.advance(Duration::from_secs(seconds.parse().unwrap()));
            quiet(&killer).await;
        } else {
            server.stop(Duration::from_secs(5)).await;
            say("done");
            return;
        }
        say("done");
    }
}

/// Waits until nothing more is written.
async fn quiet(killer: &Killer) {
    let mut seen = usize::MAX;
    loop {
        let now = killer.all.load(Ordering::SeqCst);
        if now == seen {
            return;
        }
        seen = now;
        sleep(Duration::from_millis(150)).await;
    }
}
