//! How the name of a secret token is shown.

/// Names shorter than this are hidden whole.
const SHORT: usize = 16;

/// Hides a secret name: all of a short one, three quarters of a longer one.
#[must_use]
pub fn mask(name: &str) -> String {
    let length = name.chars().count();
    let hidden = if length < SHORT { length } else { length - length / 4 };
    name.chars().enumerate().map(|(at, c)| if at < hidden { '*' } else { c }).collect()
}
