//! `tessera configure`: writes a file that works, with comments where somebody has to think.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::config::{Config, Suite};

/// What the file shall say.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The cluster's name; the host name when not given.
    pub cluster_name: Option<String>,
    /// Names or addresses that clients dial.
    pub public_addr: Vec<String>,
    /// This machine's name.
    pub nodename: Option<String>,
    /// Where state lives.
    pub data_dir: Option<PathBuf>,
    /// Where the API listens.
    pub listen_addr: Option<String>,
    /// Which key algorithms.
    pub suite: Option<Suite>,
}

/// Where the file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file that must not exist yet.
    File(PathBuf),
}

impl Target {
    /// Reads `file` (the default place), `stdout`, `file:///path` or a path.
    pub fn parse(text: &str) -> Self {
        match text {
            "stdout" | "-" => Target::Stdout,
            "file" => Target::File("/etc/tessera.yaml".into()),
            path => Target::File(path.strip_prefix("file://").unwrap_or(path).into()),
        }
    }
}

/// The file's text; it has been read back and found valid.
///
/// # Errors
/// When an answer cannot stand in a file.
pub fn text(answers: &Answers) -> anyhow::Result<String> {
    let embedded = Config::embedded();
    let nodename = answers.nodename.as_deref().unwrap_or(&embedded.teleport.nodename);
    let data_dir = answers.data_dir.as_deref().unwrap_or(&embedded.teleport.data_dir);
    let cluster_name = answers.cluster_name.as_deref().unwrap_or(nodename);
    let listen = answers.listen_addr.clone().unwrap_or_else(|| embedded.auth_service.listen_addr.to_string());
    let suite = answers.suite.unwrap_or(Suite::BalancedV1).as_str();
    let public = if answers.public_addr.is_empty() {
        "  # public_addr: [auth.example.com:3025]".to_owned()
    } else {
        format!("  public_addr: {}", serde_json::to_string(&answers.public_addr)?)
    };
    let text = format!(
        "# Configuration of a Tessera server. \"tessera check FILE\" shows what it means with all defaults.
version: v3

teleport:
  nodename: {nodename}
  # State: the database, the keys that seal the CA keys, the lock. Mode 0700; see the server guide before backing it up.
  data_dir: {data_dir}
  log:
    output: stderr
    severity: INFO
    format:
      output: text
  # /healthz, /readyz and /metrics; without TLS or log-in, so keep it on the loopback.
  diag_addr: 127.0.0.1:3000
  storage:
    type: sqlite

auth_service:
  enabled: yes
  # Part of every certificate. It cannot change once the cluster has started.
  cluster_name: {cluster_name}
  listen_addr: {listen}
  # Names and addresses under which clients reach this server; they go into its certificate.
{public}
  authentication:
    # legacy (RSA), balanced-v1, fips-v1 or hsm-v1; CAs keep the algorithm that they were made with.
    signature_algorithm_suite: {suite}
    default_session_ttl: 12h
  # How long after its end a bot's certificate may still renew; 0 switches this off.
  bot_renewal_grace: 72h

proxy_service:
  enabled: no
ssh_service:
  enabled: no
",
        nodename = scalar(nodename)?,
        data_dir = scalar(&data_dir.display().to_string())?,
        cluster_name = scalar(cluster_name)?,
        listen = scalar(&listen)?,
    );
    Config::from_text(&text, "the new file").context("an answer cannot be used")?;
    Ok(text)
}

/// A string as JSON writes it, which YAML reads: an answer must not become syntax.
fn scalar(text: &str) -> anyhow::Result<String> {
    let plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':'));
    Ok(if plain { text.to_owned() } else { serde_json::to_string(text)? })
}

/// Writes a new file, mode 0600: a token may be added to it later.
///
/// # Errors
/// When the file exists, or its directory cannot be written.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(domain::Error::already_exists(format!(
                "{} exists already; remove it, or choose another place with --output",
                path.display()
            )))
        }
        other => other.with_context(|| format!("{} cannot be written", path.display()))?,
    };
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_answers_makes_a_file_without_a_warning() {
        for choice in 0_u32..32 {
            let chosen = |bit: u32| choice & (1 << bit) != 0;
            for suite in [None, Some(Suite::Legacy), Some(Suite::BalancedV1), Some(Suite::FipsV1), Some(Suite::HsmV1)] {
                let answers = Answers {
                    cluster_name: chosen(0).then(|| "example.com".into()),
                    public_addr: if chosen(1) { vec!["a.example.com".into(), "[::1]:443".into()] } else { Vec::new() },
                    nodename: chosen(2).then(|| "7".into()),
                    data_dir: chosen(3).then(|| "/srv/it's \"here\"".into()),
                    listen_addr: chosen(4).then(|| "[::]:3025".into()),
                    suite,
                };
                let config = Config::from_text(&text(&answers).unwrap(), "x").unwrap();
                assert_eq!(config.warnings, Vec::<String>::new(), "{answers:?}");
                if let Some(data_dir) = answers.data_dir {
                    assert_eq!(config.teleport.data_dir, data_dir);
                }
            }
        }
    }

    #[test]
    fn the_file_means_what_was_answered() {
        let answers = Answers {
            cluster_name: Some("example.com".into()),
            public_addr: vec!["auth.example.com:443".into()],
            nodename: Some("one".into()),
            data_dir: Some("/srv/with space".into()),
            listen_addr: Some("127.0.0.1:4025".into()),
            suite: Some(Suite::Legacy),
        };
        let config = Config::from_text(&text(&answers).unwrap(), "x").unwrap();
        assert_eq!(config.cluster_name(), "example.com");
        assert_eq!(config.teleport.nodename, "one");
        assert_eq!(config.teleport.data_dir, Path::new("/srv/with space"));
        assert_eq!(config.auth_service.public_addr[0].to_string(), "auth.example.com:443");
        assert_eq!(config.auth_service.authentication.signature_algorithm_suite, Some(Suite::Legacy));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }

    #[test]
    fn an_answer_cannot_become_syntax() {
        let answers = Answers { cluster_name: Some("a\nproxy_service: {enabled: yes}".into()), ..Answers::default() };
        assert!(text(&answers).is_err());
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tessera.yaml");
        write(&path, "a").unwrap();
        assert!(write(&path, "b").unwrap_err().to_string().contains("exists already"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a");
    }
}
