//! Randomness as a value that is passed in, so that a test can fix it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use clock::Timestamp;
use uuid::Uuid;

/// A source of random bytes. Cheap to clone; clones of a seeded source draw from one sequence.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<Seeded>>),
}

struct Seeded {
    seed: u64,
    block: u64,
    rest: Vec<u8>,
}

impl Random {
    /// The operating system's generator, through the library's.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same bytes for the same seed. For tests only: whoever knows the seed knows the bytes.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(Seeded { seed, block: 0, rest: Vec::new() }))))
    }

    /// Fills the buffer.
    ///
    /// # Panics
    /// When the operating system has no randomness to give. Nothing that follows would be safe, and no caller could
    /// do better than stop.
    pub fn fill(&self, buffer: &mut [u8]) {
        match &self.0 {
            #[allow(clippy::expect_used, reason = "documented: without randomness the process must stop")]
            Source::System => aws_lc_rs::rand::fill(buffer).expect("the operating system has no randomness to give"),
            Source::Seeded(seeded) => seeded.lock().unwrap_or_else(PoisonError::into_inner).fill(buffer),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// `n` random bytes as lower-case hex, so `2 n` characters.
    pub fn hex(&self, n: usize) -> String {
        let mut bytes = vec![0; n];
        self.fill(&mut bytes);
        crate::hash::hex(&bytes)
    }

    /// A random UUID (version 4).
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A UUID that sorts by its time (version 7).
    pub fn uuid_v7(&self, time: Timestamp) -> Uuid {
        let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }

    /// A number below `bound` (0 when the bound is 0), uniform but for a bias below 2⁻³²; for jitter.
    pub fn below(&self, bound: u32) -> u32 {
        let wide = u64::from_be_bytes(self.bytes());
        u32::try_from((u128::from(wide) * u128::from(bound)) >> 64).unwrap_or(0)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::System => "Random(system)",
            Source::Seeded(_) => "Random(seeded)",
        })
    }
}

impl Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            if self.rest.is_empty() {
                self.rest = crate::hash::sha256_parts(&[&self.seed.to_be_bytes(), &self.block.to_be_bytes()]).to_vec();
                self.block += 1;
            }
            *byte = self.rest.pop().unwrap_or(0);
        }
    }
}
