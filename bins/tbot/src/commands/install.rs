//! `tbot install systemd`: a unit that runs the bot.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;

use super::{invalid, print};
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
    let config = std::path::absolute(globals.config.as_deref().unwrap_or(Path::new(CONFIG)))?;
    let unit = unit(args, &program, &config).map_err(invalid)?;
    // The machine that the unit is for may be another one.
    if !config.exists() {
        cli::warn(format!("{} is not there yet; tbot configure writes it", config.display()));
    }
    if !args.write {
        return print(&unit);
    }
    let path = args.systemd_directory.join(format!("{}.service", args.name));
    match std::fs::read_to_string(&path) {
        Ok(found) if found == unit => return print(&format!("{} is there already and the same\n", path.display())),
        Ok(_) if !args.force => {
            let message = format!("{} exists already and differs; add --force to replace it", path.display());
            return Err(domain::Error::already_exists(message).into());
        }
        _ => {}
    }
    std::fs::write(&path, unit).with_context(|| format!("cannot write {}", path.display()))?;
    print(&format!(
        "wrote {0}\nnext: systemctl daemon-reload && systemctl enable --now {1}\n",
        path.display(),
        args.name
    ))
}

/// The unit's text. A value with a line break could add directives, and is refused.
fn unit(args: &Systemd, program: &Path, config: &Path) -> Result<String, String> {
    let (program, config, pid_file) =
        (program.display().to_string(), config.display().to_string(), args.pid_file.display().to_string());
    for value in [&args.name, &args.user, &args.group, &program, &config, &pid_file] {
        if value.is_empty() || value.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(format!("{value:?} cannot stand in a unit: no spaces, no control characters"));
        }
    }
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ':' | '\\');
    if args.name.starts_with('.') || !args.name.chars().all(is_fine) {
        return Err("--name must be the name of a unit, such as tbot".to_owned());
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
{telemetry}ExecStart={program} start -c {config}
ExecReload=/bin/kill -HUP $MAINPID
PIDFile={pid_file}
LimitNOFILE=524288
# Outputs may lie anywhere and be for other users, so the file system stays writable where permissions allow it.
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateDevices=yes
PrivateTmp=yes
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
        user = args.user,
        group = args.group,
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

    fn written(flags: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["x"].iter().chain(flags)).unwrap();
        unit(&line.systemd, Path::new("/usr/local/bin/tbot"), Path::new("/etc/tbot.yaml"))
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

    /// Where systemd is: its own opinion of the unit.
    #[test]
    fn systemd_takes_the_unit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tbot.service");
        let line = Line::try_parse_from(["x", "--user=root", "--group=root"]).unwrap();
        std::fs::write(&path, unit(&line.systemd, Path::new("/bin/true"), Path::new("/etc/hostname")).unwrap())
            .unwrap();
        let Ok(outcome) = std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
            return;
        };
        let said = String::from_utf8_lossy(&outcome.stderr);
        let about_us: Vec<_> = said.lines().filter(|line| line.contains("tbot.service")).collect();
        assert!(outcome.status.success() && about_us.is_empty(), "{said}");
    }

    #[test]
    fn a_value_cannot_add_directives() {
        assert!(written(&["--user=a\nExecStartPre=/bin/evil"]).is_err());
        for name in ["--name=../x", "--name=a/b", "--name=.x"] {
            assert!(written(&[name]).unwrap_err().contains("--name"), "{name}");
        }
    }
}
