//! `tbot install systemd`: a unit that runs the bot.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context;
use bot::{Config, Overrides, config::Destination};
use clap::Subcommand;
use cli::unit::{argument, value};
use domain::Error;

use super::print;
use crate::args::Globals;

/// The file that the unit names when no `--config` is given.
const CONFIG: &str = "/etc/tbot.yaml";

/// What can be installed.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a systemd unit, or write it.
    Systemd(Systemd),
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tbot install systemd -c /etc/tbot.yaml\n  tbot install systemd --write && systemctl daemon-reload && \
                  systemctl enable --now tbot"
)]
pub(crate) struct Systemd {
    /// Name of the unit.
    #[arg(long, default_value = "tbot")]
    name: String,
    /// The user that tbot runs as.
    #[arg(long, default_value = "teleport")]
    user: String,
    /// The group that tbot runs as.
    #[arg(long, default_value = "teleport")]
    group: String,
    /// Where units live.
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    systemd_directory: PathBuf,
    /// File for the process id.
    #[arg(long, value_name = "FILE", default_value = "/run/tbot.pid")]
    pid_file: PathBuf,
    /// Set `TELEPORT_ANONYMOUS_TELEMETRY` in the unit. Nothing is ever sent.
    #[arg(long, overrides_with = "no_anonymous_telemetry")]
    anonymous_telemetry: bool,
    #[arg(long, hide = true, overrides_with = "anonymous_telemetry")]
    no_anonymous_telemetry: bool,
    /// Replace a unit that differs.
    #[arg(long, overrides_with = "no_force")]
    force: bool,
    #[arg(long, hide = true, overrides_with = "force")]
    no_force: bool,
    /// Write the unit instead of printing it.
    #[arg(long, overrides_with = "no_write")]
    write: bool,
    #[arg(long, hide = true, overrides_with = "write")]
    no_write: bool,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> anyhow::Result<()> {
    let Command::Systemd(args) = command;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let path = std::path::absolute(globals.config.as_deref().unwrap_or(Path::new(CONFIG)))?;
    // The machine that the unit is for may be another one.
    let config = if path.exists() {
        Config::load(Some(&path), Overrides::default()).unwrap_or_else(|error| {
            cli::warn(format!("what the configuration asks of the unit is not known: {error}"));
            Config::default()
        })
    } else {
        cli::warn(format!("{} is not there yet; tbot configure writes it", path.display()));
        Config::default()
    };
    if let Err(error) = bot::destination::check_known(&args.user, &args.group) {
        cli::warn(error);
    }
    let unit = unit(args, &program, &path, &config)?;
    if !args.write {
        return print(&unit);
    }
    let path = args.systemd_directory.join(format!("{}.service", args.name));
    match std::fs::read(&path) {
        Ok(found) if found == unit.as_bytes() => {
            return print(&format!("{} is there already and the same\n", path.display()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ if args.force => {}
        Ok(_) => {
            let message = format!("{} exists already and differs; add --force to replace it", path.display());
            return Err(Error::already_exists(message).into());
        }
        Err(error) => {
            let message = format!("{} cannot be read; add --force to replace it", path.display());
            return Err(anyhow::Error::new(error).context(message));
        }
    }
    std::fs::write(&path, unit).with_context(|| format!("cannot write {}", path.display()))?;
    print(&format!(
        "wrote {0}\nnext: systemctl daemon-reload && systemctl enable --now {1}\n",
        path.display(),
        args.name
    ))
}

/// What a listener at a port below 1024 needs.
fn capability(config: &Config) -> &'static str {
    let listeners = config.services.iter().filter_map(|service| service.text("listen").strip_prefix("tcp://"));
    let ports = listeners.chain(config.diag_addr.as_deref()).filter_map(|place| place.rsplit_once(':')?.1.parse().ok());
    if ports.into_iter().any(|port: u16| (1..1024).contains(&port)) { "CAP_NET_BIND_SERVICE" } else { "" }
}

/// Whether the bot reads or writes where `PrivateTmp` would give it a directory that nobody else sees.
fn is_in_tmp(config: &Config, others: [&Path; 3]) -> bool {
    let destinations = config.services.iter().filter_map(|service| service.destination.as_ref());
    let directories = destinations.chain([&config.storage]).filter_map(|destination| match destination {
        Destination::Directory(directory) => Some(directory.path.as_path()),
        _ => None,
    });
    let sockets = config.services.iter().filter_map(|service| service.text("listen").strip_prefix("unix://"));
    let token = config.onboarding.token.as_ref().map(|token| Path::new(token.expose()));
    let mut all = directories.chain(sockets.map(Path::new)).chain(token).chain(others);
    all.any(|path| path.starts_with("/tmp") || path.starts_with("/var/tmp"))
}

/// The unit's text.
fn unit(args: &Systemd, program: &Path, path: &Path, config: &Config) -> Result<String, Error> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ':' | '\\');
    if args.name.is_empty() || args.name.starts_with('.') || !args.name.chars().all(is_fine) {
        return Err(Error::invalid("--name must be the name of a unit, such as tbot"));
    }
    let telemetry = if args.anonymous_telemetry { "Environment=\"TELEPORT_ANONYMOUS_TELEMETRY=1\"\n" } else { "" };
    Ok(format!(
        "[Unit]
Description=Tessera bot ({name})
Wants=network-online.target
After=network.target network-online.target

[Service]
Type=simple
User={user}
Group={group}
Restart=always
RestartSec=5
{telemetry}ExecStart={program} start -c {path}
ExecReload=/bin/kill -HUP $MAINPID
PIDFile={pid_file}
LimitNOFILE=524288
# Outputs may lie anywhere and be for other users, so the file system stays writable where permissions allow it.
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet={capability}
AmbientCapabilities={capability}
PrivateDevices=yes
PrivateTmp={private}
ProtectSystem=true
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
",
        name = args.name,
        user = value(&args.user)?,
        group = value(&args.group)?,
        program = value(program.display())?,
        path = argument(path.display())?,
        pid_file = value(args.pid_file.display())?,
        capability = capability(config),
        private = if is_in_tmp(config, [program, path, &args.pid_file]) { "no" } else { "yes" },
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        systemd: Systemd,
    }

    fn written(flags: &[&str]) -> Result<String, Error> {
        written_for("", "/etc/tbot.yaml", flags)
    }

    fn written_for(config: &str, path: &str, flags: &[&str]) -> Result<String, Error> {
        let line = Line::try_parse_from(["x"].iter().chain(flags)).unwrap();
        let config = Config::parse(&format!("version: v2\n{config}"), "test").unwrap();
        unit(&line.systemd, Path::new("/usr/local/bin/tbot"), Path::new(path), &config)
    }

    #[test]
    fn the_unit_follows_the_configuration() {
        for (config, line) in [
            ("", "AmbientCapabilities="),
            ("", "PrivateTmp=yes"),
            ("diag_addr: 127.0.0.1:1024", "AmbientCapabilities="),
            ("diag_addr: 127.0.0.1:1023", "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
            (
                "services: [{type: application-proxy, listen: 'tcp://127.0.0.1:80'}]",
                "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
            ),
            ("services: [{type: application-proxy, listen: 'unix:///tmp/s'}]", "PrivateTmp=no"),
            ("services: [{type: identity, destination: {type: directory, path: /var/tmp/out}}]", "PrivateTmp=no"),
            ("storage: {type: directory, path: /tmp/state}", "PrivateTmp=no"),
            ("onboarding: {token: /tmp/token}", "PrivateTmp=no"),
            ("services: [{type: identity, destination: {type: directory, path: /tmpfs/out}}]", "PrivateTmp=yes"),
        ] {
            let unit = written_for(config, "/etc/tbot.yaml", &[]).unwrap();
            assert!(unit.lines().any(|found| found == line), "{config}: {line}\n{unit}");
        }
        assert!(written_for("", "/tmp/tbot.yaml", &[]).unwrap().contains("PrivateTmp=no\n"));
    }

    #[test]
    fn systemd_reads_a_path_as_it_was_meant() {
        let unit = written_for("", "/etc/50%/$HOME.yaml", &["--pid-file=/run/%i$"]).unwrap();
        for line in ["ExecStart=/usr/local/bin/tbot start -c /etc/50%%/$$HOME.yaml", "PIDFile=/run/%%i$"] {
            assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
        }
        for path in ["/etc/a b", "/etc/\"a\"", "/etc/\\x41"] {
            assert!(written_for("", path, &[]).unwrap_err().message.contains("cannot stand in a unit"), "{path}");
        }
    }

    #[test]
    fn the_unit_has_the_documented_directives() {
        let unit = written(&["--anonymous-telemetry"]).unwrap();
        for line in [
            "Type=simple",
            "User=teleport",
            "Group=teleport",
            "Environment=\"TELEPORT_ANONYMOUS_TELEMETRY=1\"",
            "ExecStart=/usr/local/bin/tbot start -c /etc/tbot.yaml",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "PIDFile=/run/tbot.pid",
            "LimitNOFILE=524288",
            "WantedBy=multi-user.target",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
        }
        assert!(!written(&[]).unwrap().contains("TELEMETRY"));
    }

    #[test]
    fn the_unit_keeps_what_a_bot_does_not_need_from_it() {
        let unit = written(&[]).unwrap();
        for line in
            ["NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=true", "SystemCallFilter=@system-service"]
        {
            assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
        }
    }

    /// systemd's own opinion of the unit.
    #[test]
    fn systemd_takes_the_unit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tbot.service");
        let line = Line::try_parse_from(["x", "--user=root", "--group=root"]).unwrap();
        let (program, config) = (Path::new("/bin/true"), Path::new("/etc/hostname"));
        std::fs::write(&path, unit(&line.systemd, program, config, &Config::default()).unwrap()).unwrap();
        let outcome = std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output();
        let outcome = outcome.expect("systemd-analyze (Debian package systemd) is needed");
        let said = String::from_utf8_lossy(&outcome.stderr);
        let about_us: Vec<_> = said.lines().filter(|line| line.contains("tbot.service")).collect();
        assert!(outcome.status.success() && about_us.is_empty(), "{said}");
    }

    #[test]
    fn a_value_cannot_add_directives() {
        assert!(written(&["--user=a\nExecStartPre=/bin/evil"]).is_err());
        for name in ["--name=../x", "--name=a/b", "--name=.x"] {
            assert!(written(&[name]).unwrap_err().message.contains("--name"), "{name}");
        }
    }
}
