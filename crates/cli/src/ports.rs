//! The ports of a local listener, as people write them.

/// `LOCAL`, or `LOCAL:TARGET` for an application with several ports; a target of 0 is none.
///
/// # Errors
/// What to write instead, for clap.
pub fn ports(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| text.parse().map_err(|_| format!("{text:?} is no port; write 1234 or 1234:5432"));
    match text.split_once(':') {
        Some((local, target)) => Ok((port(local)?, port(target)?)),
        None => Ok((port(text)?, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them() {
        assert_eq!(ports("1234"), Ok((1234, 0)));
        assert_eq!(ports("1234:5432"), Ok((1234, 5432)));
        for bad in ["", "a", "1:b", "70000", "1:2:3"] {
            assert!(ports(bad).is_err_and(|advice| advice.contains("1234:5432")), "{bad}");
        }
    }
}
