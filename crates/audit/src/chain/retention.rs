//! Dropping what is older than the retention: whole blocks, and only those that a checkpoint covers.

use clock::Timestamp;
use storage::{Backend, Batch, JournalPosition, Key};

use super::{BASES, blocks::Blocks, encode, last_checkpoint};

/// Drops all records whose whole block is older than `before`; returns how many that were. The caller audits it with
/// `RetentionDropped` when it is not zero.
///
/// # Errors
/// The store cannot be read or written; what was dropped until then stays dropped.
pub async fn drop_before(backend: &dyn Backend, before: Timestamp) -> Result<u64, storage::Error> {
    let Some(checkpoint) = last_checkpoint(backend).await? else { return Ok(0) };
    let covered = checkpoint.heads.iter().map(|head| head.position).max().unwrap_or(0);
    let (mut blocks, _) = Blocks::open(backend).await?;
    let (mut dropped, mut to) = (0, None);
    while let Some((key, block)) = blocks.next().await? {
        if block.time >= before || block.position > covered {
            break;
        }
        // The base first, with the block's removal: the verifier starts there, and reads no record before it.
        let base = Key::new(BASES, block.writer.simple().to_string());
        backend.batch(Batch::new().delete(key).put(base, encode(&block.head()), None)).await?;
        dropped += block.links.len() as u64;
        to = Some(JournalPosition(block.position));
    }
    if let Some(to) = to {
        backend.journal_trim(to).await?;
    }
    Ok(dropped)
}
