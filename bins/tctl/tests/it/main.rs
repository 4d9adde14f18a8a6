//! Every command against a real server: what a person sees, what a program gets, and how the process ends.

/// Compares what a person sees with what is kept; the list of commands stands in it already.
macro_rules! seen {
    ($($what:tt)*) => {
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!($($what)*) })
    };
}

mod access;
mod authorities;
mod bots;
mod command_line;
mod connect;
mod kinds;
mod support;
mod tokens_users_locks;
