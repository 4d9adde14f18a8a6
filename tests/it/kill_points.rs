//! The server is killed before and after each durable write, one after the other: afterwards no token was used twice, no
//! certificate is without its record, no bot that behaved is locked out, and the audit chain is whole.
//!
//! The server that dies is this program once more, as a child; it kills itself (SIGKILL) where it is told to. Then a
//! server starts over what is there, and whoever got no answer asks again, with the same keys.

mod child;
mod scenario;

use std::{collections::BTreeMap, fs, path::Path};

use clock::{Clock, ManualClock};
use tempfile::TempDir;
use testkit::{Cluster, Options};

use self::{
    child::{Child, Death, Moment},
    scenario::{Door, Step, World},
};

/// What everybody knows, and the directory of the server, between two steps.
struct Snapshot {
    world: World,
    directory: TempDir,
}

impl Snapshot {
    fn copy(&self) -> Self {
        let directory = new_directory();
        copy(self.directory.path(), directory.path());
        Self { world: self.world.clone(), directory }
    }
}

fn new_directory() -> TempDir {
    tempfile::Builder::new().prefix("tessera-kill-").tempdir_in("/tmp").unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What came of one run.
enum Run {
    /// The server died at this write, and everything was well afterwards; what it left, untouched.
    Died(String, Box<Snapshot>),
    /// There was no such write in this step.
    Survived(Box<Snapshot>),
}

async fn run(mut at: Snapshot, step: Step, death: Death) -> Run {
    let mut child =
        Child::start(at.directory.path(), at.world.now, step.counts_from_the_start().then_some(death)).await;
    if let Some(door) = child.ready().await {
        if !step.counts_from_the_start() {
            child.arm(death).await;
        }
        let done = tokio::select! {
            // What it has said before it ended counts: a server that was asked to stop ends by itself.
            biased;
            done = step.carry_out(&mut at.world, &door, &mut child.controls) => done,
            () = child.died_on_its_own.notified() => Err(domain::Error::unavailable("the server is gone")),
        };
        if child.is_alive().await {
            done.unwrap_or_else(|error| panic!("{step:?}: {error:?}"));
            child.end().await;
            return Run::Survived(Box::new(at));
        }
    }
    let write = child.last_words().await;
    let left = Box::new(at.copy());
    after_death(at, step, &format!("{step:?}, killed {death:?}: {write}")).await;
    Run::Died(write, left)
}

/// A new server over what the dead one left; whoever had no answer asks again.
async fn after_death(at: Snapshot, step: Step, what: &str) {
    let Snapshot { mut world, directory } = at;
    let clock = ManualClock::new(world.now);
    let options = Options { clock: clock.clock(), ..Options::default() };
    let cluster = Cluster::over(directory, options).await;
    let door = Door::of(&cluster);
    let again = step.again(&mut world, &door).await;
    again.unwrap_or_else(|error| panic!("{what}: asked again: {error:?}"));
    world.check(&cluster, &door, what).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_around_any_durable_write_loses_nothing() {
    let mut at = Snapshot { world: World::new(), directory: new_directory() };
    let mut died: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in Step::ALL {
        at.world.prepare();
        let mut number = 1;
        at = loop {
            let death = |moment| Death { moment, number };
            let (before, after) = tokio::join!(
                tokio::spawn(run(at.copy(), step, death(Moment::Before))),
                tokio::spawn(run(at.copy(), step, death(Moment::After))),
            );
            match (before.unwrap(), after.unwrap()) {
                (Run::Survived(next), _) => break *next,
                (Run::Died(write, _), after) => {
                    died.entry(format!("{step:?}")).or_default().push(write);
                    if let (true, Run::Died(_, left)) = (step.ends_with_its_first_write(), after) {
                        break *left;
                    }
                }
            }
            number += 1;
        };
    }
    let points: usize = died.values().map(Vec::len).sum();
    println!("killed before and after {points} writes: {died:#?}");
    for (step, least) in Step::ALL.map(|step| (step, step.writes_at_least())) {
        let found = died.get(&format!("{step:?}")).map_or(0, Vec::len);
        assert!(found >= least, "{step:?} was killed at {found} writes only, of at least {least}: {died:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs inside a_server_killed_around_any_durable_write_loses_nothing"]
async fn server_that_dies() {
    child::serve().await;
}

/// Real time: the bots and the administrator live by it.
fn real() -> Clock {
    Clock::system()
}
