//! Walks through the blocks of all writers in the order of the journal, a page of one writer at a time.

use std::collections::VecDeque;

use storage::{Backend, Key, Prefix};
use uuid::Uuid;

use super::{BLOCKS, Block, Head, decode};

/// Blocks that are read at once: a megabyte when they are full.
const PAGE: usize = 16;

/// Comes after every block of a writer: names of blocks are digits.
const AFTER_ALL: &str = "~";

/// What a writer found when it began.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) writer: Uuid,
    pub(super) heads: Vec<Head>,
}

/// The walk. What it keeps grows with the writers, never with the records.
pub(super) struct Blocks<'a> {
    backend: &'a dyn Backend,
    writers: Vec<Cursor>,
    /// What was read of the writer at this index.
    page: (usize, VecDeque<(Key, Block)>),
}

/// How far one writer's blocks were walked through.
struct Cursor {
    prefix: Prefix,
    after: Option<Key>,
    /// Where the next block lies in the journal; none after the last block.
    next: Option<u64>,
}

impl<'a> Blocks<'a> {
    /// Looks for the writers, and what they found.
    pub(super) async fn open(backend: &'a dyn Backend) -> Result<(Self, Vec<Beginning>), storage::Error> {
        let (mut writers, mut beginnings, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let found = backend.range(&Prefix::kind(BLOCKS), after.as_ref(), 1).await?;
            let Some(item) = found.items.first() else { break };
            let block: Block = decode(&item.key, &item.value)?;
            let writer = item.key.sub_kind().to_owned();
            after = Some(Key::with_sub(BLOCKS, writer.clone(), AFTER_ALL));
            writers.push(Cursor { prefix: Prefix::sub(BLOCKS, writer), after: None, next: Some(block.position) });
            beginnings.push(Beginning { writer: block.writer, heads: block.heads });
        }
        Ok((Self { backend, writers, page: (0, VecDeque::new()) }, beginnings))
    }

    /// The next block, with its key.
    pub(super) async fn next(&mut self) -> Result<Option<(Key, Block)>, storage::Error> {
        let waiting = self.writers.iter().enumerate().filter_map(|(index, writer)| Some((writer.next?, index)));
        let Some((_, index)) = waiting.min() else { return Ok(None) };
        if self.page.0 != index {
            self.page = (index, VecDeque::new());
        }
        self.fill().await?;
        let taken = self.page.1.pop_front();
        if let Some((key, _)) = &taken {
            self.writers[index].after = Some(key.clone());
        }
        self.fill().await?;
        self.writers[index].next = self.page.1.front().map(|(_, block)| block.position);
        Ok(taken)
    }

    /// Reads on where nothing is left of the page.
    async fn fill(&mut self) -> Result<(), storage::Error> {
        let (index, page) = &mut self.page;
        let writer = &self.writers[*index];
        if page.is_empty() {
            let found = self.backend.range(&writer.prefix, writer.after.as_ref(), PAGE).await?;
            for item in found.items {
                let block = decode(&item.key, &item.value)?;
                page.push_back((item.key, block));
            }
        }
        Ok(())
    }
}
