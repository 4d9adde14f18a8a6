//! What a second of this machine is worth while it is measured: the time of signatures, which no program can save.
//!
//! Virtual machines of one kind differ by half, and one of them differs from itself an hour later, by what its neighbours
//! do on the other halves of its cores. Goals in seconds of CPU are read beside this.

use std::{thread, time::Duration};

use anyhow::Context as _;
use crypto::{Algorithm, KeyPair};
use rustix::time::{ClockId, clock_gettime};

/// Seconds of CPU for a thousand pairs of signatures where the goals were set.
const WHERE_GOALS_WERE_SET: f64 = 0.02;

/// How long every core signs.
const SPAN: Duration = Duration::from_secs(1);

/// About as much as is signed of a certificate.
const MESSAGE: [u8; 700] = [7; 700];

/// Seconds of CPU for a thousand times the two signatures of a pair of certificates, on all cores at once: a server under
/// load has its cores no other way.
///
/// # Errors
/// No key can be made.
pub(crate) fn signatures() -> anyhow::Result<f64> {
    let cores = thread::available_parallelism()?.get();
    let signing: Vec<_> = (0..cores).map(|_| thread::spawn(on_one_core)).collect();
    let mut sum = 0.0;
    for core in signing {
        sum += core.join().ok().context("a thread that signs panicked")??;
    }
    Ok(sum / cores as f64)
}

fn on_one_core() -> anyhow::Result<f64> {
    let x509 = KeyPair::generate(Algorithm::EcdsaP256)?;
    let ssh = KeyPair::generate(Algorithm::Ed25519)?;
    let began = spent()?;
    let mut pairs = 0_u32;
    loop {
        for _ in 0..100 {
            x509.sign(&MESSAGE)?;
            ssh.sign(&MESSAGE)?;
        }
        pairs += 100;
        let spent = spent()? - began;
        if spent >= SPAN {
            return Ok(spent.as_secs_f64() * 1_000.0 / f64::from(pairs));
        }
    }
}

fn spent() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::ThreadCPUTime).try_into()?)
}

/// How many times the machine of the goals this one is slower.
pub(crate) fn slower(signatures: f64) -> f64 {
    signatures / WHERE_GOALS_WERE_SET
}

/// What to read beside a table.
pub(crate) fn remark(signatures: f64) -> String {
    format!(
        "The two signatures of a pair alone cost {signatures:.3} CPU-s per 1,000 on this machine while this was measured, and \
         {WHERE_GOALS_WERE_SET:.3} where the goals were set: \"scaled\" is the goal times {:.2}.",
        slower(signatures)
    )
}
