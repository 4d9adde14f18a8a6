//! Pages of resources, with tokens that name the last item returned.

use std::sync::Arc;

use domain::Error;
use storage::{Backend, Key};

use crate::error::from_storage;
use crate::keyed::{Keyed, key_of, prefix_of};
use crate::repository::decode;

/// Resources on a page when the caller names no number.
pub const DEFAULT_PAGE_SIZE: usize = 1_000;

/// The most resources on one page, whatever the caller asks for: a page must fit a message.
pub const MAX_PAGE_SIZE: usize = 1_000;

/// The most bytes on one page, as stored; a single larger resource is still a page of its own.
///
/// Official clients take no message over 4 MiB. What is stored is JSON, and longer than the message made of it; half
/// leaves room for what a message adds.
pub const MAX_PAGE_BYTES: usize = 2 << 20;

/// A filtered list that has something to return looks at this many resources at most.
pub const SCAN_AFTER_MATCH: usize = 5_000;

/// A filtered list looks at this many resources at most, then gives up.
///
/// Clients take an empty page for the end of the list, so one that has found nothing may not stop early with a token;
/// this bounds what somebody can make the server read with a filter that matches nothing.
pub const MAX_SCAN: usize = 200_000;

/// How many items are read in one piece, at most.
const CHUNK: usize = 500;

/// Which page of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListRequest<'a> {
    /// How many at most; 0 means [`DEFAULT_PAGE_SIZE`], more than [`MAX_PAGE_SIZE`] is cut.
    pub page_size: usize,
    /// The token of the page before, empty for the first page.
    pub page_token: &'a str,
    /// Only this group of a kind that has groups (see [`Keyed::GROUPED`]).
    pub group: Option<&'a str>,
}

impl<'a> ListRequest<'a> {
    /// A page of everything.
    pub fn page(page_size: usize, page_token: &'a str) -> Self {
        Self { page_size, page_token, group: None }
    }

    /// The same within one group.
    pub fn within(self, group: &'a str) -> Self {
        Self { group: Some(group), ..self }
    }

    pub(crate) fn size(&self) -> usize {
        if self.page_size == 0 { DEFAULT_PAGE_SIZE } else { self.page_size.min(MAX_PAGE_SIZE) }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The resources, in the order of their keys.
    pub items: Vec<T>,
    /// What to ask for the next page with; empty after the last one. Never set on an empty page.
    pub next_page_token: String,
}

/// Reads a page. The token is set only if there is another match, as far as the scan has seen.
pub(crate) async fn list<T: Keyed>(
    backend: &Arc<dyn Backend>,
    request: &ListRequest<'_>,
    filter: impl Fn(&T) -> bool + Send,
) -> Result<Page<T>, Error> {
    let prefix = prefix_of::<T>(request.group);
    let size = request.size();
    let mut after = start::<T>(request)?;
    let (mut items, mut bytes, mut scanned): (Vec<T>, usize, usize) = (Vec::new(), 0, 0);
    let mut chunk = CHUNK.min(size + 1);
    loop {
        let page = backend.range(&prefix, after.as_ref(), chunk).await.map_err(from_storage)?;
        // Small pages are read as asked for; a filter that finds little reads ever larger pieces.
        chunk = (chunk * 2).min(CHUNK);
        for (index, item) in page.items.iter().enumerate() {
            if index % crate::DECODED_AT_ONCE == crate::DECODED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let resource = decode::<T>(item)?.value;
            if filter(&resource) {
                bytes += item.value.len();
                if items.len() == size || (bytes > MAX_PAGE_BYTES && !items.is_empty()) {
                    let next_page_token = token(&items);
                    return Ok(Page { items, next_page_token });
                }
                items.push(resource);
            }
        }
        scanned += page.items.len();
        after = page.items.last().map(|item| item.key.clone());
        if !page.more || after.is_none() {
            return Ok(Page { items, next_page_token: String::new() });
        }
        if !items.is_empty() && scanned >= SCAN_AFTER_MATCH {
            let next_page_token = token(&items);
            return Ok(Page { items, next_page_token });
        }
        if scanned >= MAX_SCAN {
            let kind = T::KIND;
            return Err(Error::limit(format!("nothing matched among {scanned} of kind {kind}: narrow the filter")));
        }
    }
}

/// The key that a page begins after.
fn start<T: Keyed>(request: &ListRequest<'_>) -> Result<Option<Key>, Error> {
    match (request.page_token, T::GROUPED) {
        ("", _) => Ok(None),
        (name, false) => Ok(Some(key_of::<T>("", name))),
        (token, true) => {
            let (group, name) = token
                .split_once('/')
                .filter(|(group, _)| request.group.is_none_or(|wanted| wanted == *group))
                .ok_or_else(|| Error::invalid("the page token does not belong to this list: begin without one"))?;
            Ok(Some(key_of::<T>(group, name)))
        }
    }
}

/// Names the last item returned, never the next one: that one the caller might not be allowed to see.
fn token<T: Keyed>(items: &[T]) -> String {
    match items.last() {
        None => String::new(),
        Some(last) if T::GROUPED => format!("{}/{}", last.group(), last.name()),
        Some(last) => last.name().to_owned(),
    }
}
