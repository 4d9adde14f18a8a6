//! Dropping what is older than the retention: whole blocks, and only those that a checkpoint covers.

use clock::Timestamp;
use storage::{Backend, Batch, JournalEntry, JournalPosition, Key};

use super::{BASES, Head, blocks::Blocks, encode, last_checkpoint};

/// How many blocks one record tells of, at most.
const AT_ONCE: usize = 1024;

/// A block that goes, and how many records go with it.
struct Old {
    key: Key,
    head: Head,
    records: u64,
}

/// Drops all records whose whole block is older than `before`; returns how many that were. `note` makes the entry that says
/// so of a number of them: it is durable with the first that goes. What is left of that number then goes the next time,
/// under an entry of its own.
///
/// # Errors
/// The store cannot be read or written; what was dropped until then stays dropped.
pub async fn drop_before(
    backend: &dyn Backend,
    before: Timestamp,
    note: impl Fn(u64) -> JournalEntry,
) -> Result<u64, storage::Error> {
    let Some(checkpoint) = last_checkpoint(backend).await? else { return Ok(0) };
    let covered = checkpoint.heads.iter().map(|head| head.position).max().unwrap_or(0);
    let (mut blocks, _) = Blocks::open(backend).await?;
    let mut dropped = 0;
    loop {
        let old = next_old(&mut blocks, before, covered).await?;
        let Some(to) = old.last().map(|last| JournalPosition(last.head.position)) else { return Ok(dropped) };
        let (is_all, records) = (old.len() < AT_ONCE, old.iter().map(|block| block.records).sum());
        let mut note = Some(note(records));
        for Old { key, head, .. } in old {
            // The base with the block's removal: the verifier starts there, and reads no record before it.
            let base = Key::new(BASES, head.writer.simple().to_string());
            let batch = Batch { journal: note.take().into_iter().collect(), ..Batch::new() };
            backend.batch(batch.delete(key).put(base, encode(&head), None)).await?;
        }
        backend.journal_trim(to).await?;
        dropped += records;
        if is_all {
            return Ok(dropped);
        }
    }
}

async fn next_old(blocks: &mut Blocks<'_>, before: Timestamp, covered: u64) -> Result<Vec<Old>, storage::Error> {
    let mut old = Vec::new();
    while old.len() < AT_ONCE
        && let Some((key, block)) = blocks.next().await?
        && block.time < before
        && block.position <= covered
    {
        old.push(Old { key, head: block.head(), records: block.links.len() as u64 });
    }
    Ok(old)
}
