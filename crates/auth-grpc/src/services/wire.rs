//! Small things that many requests have.

use domain::Error;

/// A message that the request must carry.
pub(crate) fn needed<T>(field: &str, message: Option<T>) -> Result<T, Error> {
    message.ok_or_else(|| Error::invalid(format!("{field}: must be given")))
}

/// The size of a page; zero means the server's own.
pub(crate) fn page_size(asked: i32) -> Result<usize, Error> {
    usize::try_from(asked).map_err(|_| Error::invalid("page_size: must not be negative"))
}
