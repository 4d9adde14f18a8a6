//! `tessera install systemd`: a unit that runs the server.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use clap::{Subcommand, ValueHint};
use cli::{
    Output,
    exit::invalid_input,
    unit::{argument, value},
};
use daemon::config::{AuditSink, Config, LogOutput};
use domain::Error;

/// The file that the unit names when nobody says.
const CONFIG: &str = "/etc/tessera.yaml";
/// Ports below this one need a privilege.
const FIRST_FREE_PORT: u16 = 1024;

/// What can be installed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tessera install systemd -c /etc/tessera.yaml -o /etc/systemd/system/tessera.service"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print a systemd unit, or write it.
    Systemd(Systemd),
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tessera install systemd\n  tessera install systemd -c /etc/tessera.yaml --user=tessera \\\n    \
                  -o /etc/systemd/system/tessera.service\n  systemctl daemon-reload && systemctl enable --now tessera"
)]
struct Systemd {
    /// The server's configuration file. Where the unit lets the server write, and which privilege it has, follow from it.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = CONFIG)]
    config: PathBuf,
    /// The user that the server runs as.
    #[arg(long, default_value = "tessera")]
    user: String,
    /// The group that the server runs as [default: that of the user].
    #[arg(long)]
    group: Option<String>,
    /// A file with variables, such as HTTPS_PROXY; it need not exist.
    #[arg(long, value_name = "FILE", default_value = "/etc/default/tessera")]
    env_file: PathBuf,
    /// How many files and connections may be open.
    #[arg(long, default_value_t = 524_288)]
    fd_limit: u32,
    /// Write the process id to this file [default: none; systemd needs none].
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Where to: `stdout`, or a path.
    #[arg(short, long, default_value = "stdout")]
    output: String,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let What::Systemd(mut flags) = args.what;
    flags.config = std::path::absolute(&flags.config)?;
    // The machine that the unit is for may be another one.
    let config = if flags.config.exists() {
        Config::load(&flags.config).map_err(invalid_input)?
    } else {
        cli::warn(format!("{} is not there yet; tessera configure writes it", flags.config.display()));
        Config::embedded()
    };
    let names = [("user", "passwd", Some(&flags.user)), ("group", "group", flags.group.as_ref())];
    for (flag, database, name) in names {
        if let Some(name) = name.filter(|name| is_unknown(database, name)) {
            cli::warn(format!("--{flag}: there is no {flag} \"{name}\" on this machine"));
        }
    }
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let unit = unit(&flags, &program, &config)?;
    if let Some(warning) = missing(&flags.user, &config) {
        cli::warn(warning);
    }
    let mut out = Output::stdout();
    if flags.output == "stdout" {
        return out.text(unit);
    }
    let place = &flags.output;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(place);
    let mut file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(Error::already_exists(format!("{place} exists already; remove it, or choose another --output")))
        }
        other => other.with_context(|| format!("{place} cannot be written"))?,
    };
    file.write_all(unit.as_bytes())?;
    out.line(format_args!("The unit has been written to {place}.\n  next: systemctl daemon-reload"))
}

/// Whether this machine says that it has no such user or group. A number need not have a name.
fn is_unknown(database: &str, name: &str) -> bool {
    /// What getent ends with when it looked and found nothing.
    const NOT_FOUND: i32 = 2;
    let answer = || Command::new("getent").args([database, "--", name]).stdout(Stdio::null()).status();
    name.parse::<u32>().is_err() && answer().is_ok_and(|status| status.code() == Some(NOT_FOUND))
}

/// The unit's text. A value with a line break could add directives, and is refused.
fn unit(flags: &Systemd, program: &Path, config: &Config) -> Result<String, Error> {
    let mut start = format!("{} start -c {}", value(program.display())?, argument(flags.config.display())?);
    if let Some(path) = &flags.pid_file {
        start.push_str(&format!(" --pid-file={}", argument(path.display())?));
    }
    let group = match &flags.group {
        Some(group) => format!("Group={}\n", value(group)?),
        None => String::new(),
    };
    Ok(format!(
        "[Unit]
Description=Tessera
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
User={user}
{group}EnvironmentFile=-{variables}
ExecStart={start}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
WatchdogSec=30
LimitNOFILE={files}
{places}{runtime}{privilege}NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
",
        user = value(&flags.user)?,
        variables = value(flags.env_file.display())?,
        files = flags.fd_limit,
        places = writable(config)?,
        runtime = place_of_pid(flags, config)?,
        privilege = privilege(config),
    ))
}

/// Where the server writes.
fn places(config: &Config) -> Vec<&Path> {
    let common = &config.teleport;
    // No StateDirectory: systemd would give everything in it to the server's user, also what a bot keeps there.
    let mut paths = vec![common.data_dir.as_path(), &common.storage.path];
    paths.extend(common.storage.audit_events_uri.iter().filter_map(|sink| match sink {
        AuditSink::File(path) => Some(path.as_path()),
        AuditSink::Stdout => None,
    }));
    if let LogOutput::File(path) = &common.log.output {
        paths.extend(path.parent());
    }
    let known = common.data_dir.as_path();
    paths.retain(|path| *path == known || !path.starts_with(known));
    paths
}

/// The rest of the file system is read-only for the server.
fn writable(config: &Config) -> Result<String, Error> {
    places(config).into_iter().map(|path| Ok(format!("ReadWritePaths={}\n", value(path.display())?))).collect()
}

/// What systemd does not make: it ends the unit before the server runs.
fn missing(user: &str, config: &Config) -> Option<String> {
    let absent = places(config).into_iter().filter(|path| !path.exists());
    let absent: Vec<String> = absent.map(|path| path.display().to_string()).collect();
    let all = absent.join(" ");
    (!absent.is_empty())
        .then(|| format!("the unit does not start while {all} is not there: install -d -o {user} -m 0711 {all}"))
}

/// A directory of our own below /run, which systemd makes, or wherever the file of the process id is to be.
fn place_of_pid(flags: &Systemd, config: &Config) -> Result<String, Error> {
    let path = flags.pid_file.as_deref().or(config.teleport.pid_file.as_deref());
    let Some(parent) = path.and_then(Path::parent) else { return Ok(String::new()) };
    match parent.strip_prefix("/run") {
        Ok(below) if below.components().count() == 1 => Ok(format!("RuntimeDirectory={}\n", value(below.display())?)),
        Ok(below) if below.as_os_str().is_empty() && flags.user != "root" => Err(Error::invalid(format!(
            "--pid-file or teleport.pid_file: user {} cannot write into /run; name a directory there, such as \
             /run/tessera/pid",
            flags.user
        ))),
        _ => Ok(format!("ReadWritePaths={}\n", value(parent.display())?)),
    }
}

/// What a low port of a service that runs here needs.
fn privilege(config: &Config) -> &'static str {
    let proxy = &config.proxy_service;
    let plain = proxy.acme.as_ref().and_then(|acme| acme.http_listen_addr.as_ref());
    let own = [Some(&proxy.web_listen_addr), proxy.listen_addr.as_ref(), proxy.tunnel_listen_addr.as_ref(), plain];
    let own = own.into_iter().flatten().filter(|_| proxy.enabled);
    let all = own.chain(Some(&config.auth_service.listen_addr).filter(|_| config.auth_service.enabled));
    if all.into_iter().any(|address| (1..FIRST_FREE_PORT).contains(&address.port)) {
        "AmbientCapabilities=CAP_NET_BIND_SERVICE\n"
    } else {
        ""
    }
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

    fn written(flags: &[&str], config: &str) -> Result<String, Error> {
        let line = Line::try_parse_from(["x"].iter().chain(flags)).unwrap();
        unit(&line.systemd, Path::new("/usr/local/bin/tessera"), &Config::from_text(config, "test").unwrap())
    }

    #[test]
    fn the_unit_follows_the_configuration() {
        let plain =
            written(&["--pid-file=/run/t/pid", "--fd-limit=7", "--group=g"], "auth_service: {enabled: yes}").unwrap();
        for line in [
            "Type=notify",
            "User=tessera",
            "Group=g",
            "EnvironmentFile=-/etc/default/tessera",
            "ExecStart=/usr/local/bin/tessera start -c /etc/tessera.yaml --pid-file=/run/t/pid",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "LimitNOFILE=7",
            "ReadWritePaths=/var/lib/teleport",
            "RuntimeDirectory=t",
        ] {
            assert!(plain.lines().any(|found| found == line), "{line}\n{plain}");
        }
        assert!(plain.matches("ReadWritePaths").count() == 1 && !plain.contains("CAP_NET"), "{plain}");
        let other = "teleport: {data_dir: /srv/t, log: {output: /var/log/t/t.log}, storage: {audit_events_uri: ['file:///a']}}\n\
                     auth_service: {enabled: yes}\nproxy_service: {web_listen_addr: '0.0.0.0:443'}";
        let other = written(&[], other).unwrap();
        for line in [
            "ReadWritePaths=/srv/t",
            "ReadWritePaths=/var/log/t",
            "ReadWritePaths=/a",
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ] {
            assert!(other.lines().any(|found| found == line), "{line}\n{other}");
        }
        assert!(!other.contains("/srv/t/backend"), "{other}");
    }

    #[test]
    fn a_place_that_the_server_could_not_write_to_is_refused() {
        let config = "teleport: {pid_file: /run/teleport.pid}\nauth_service: {enabled: yes}";
        assert!(written(&[], config).unwrap_err().message.contains("/run/tessera/pid"));
        assert!(written(&["--user=root"], config).unwrap().contains("ReadWritePaths=/run\n"));
    }

    /// systemd's own opinion of the unit.
    #[test]
    fn systemd_takes_the_unit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tessera.service");
        let line = Line::try_parse_from(["x", "--user=root", "-c", "/etc/hostname"]).unwrap();
        fs::write(&path, unit(&line.systemd, Path::new("/bin/true"), &Config::embedded()).unwrap()).unwrap();
        let outcome = Command::new("systemd-analyze").arg("verify").arg(&path).output();
        let outcome = outcome.expect("systemd-analyze (Debian package systemd) is needed");
        let said = String::from_utf8_lossy(&outcome.stderr);
        let about_us: Vec<_> = said.lines().filter(|line| line.contains("tessera.service")).collect();
        assert!(outcome.status.success() && about_us.is_empty(), "{said}");
    }

    #[test]
    fn directories_that_the_unit_needs_are_named_while_they_are_missing() {
        let home = tempfile::tempdir().unwrap();
        let (data, log) = (home.path().join("data"), home.path().join("log"));
        let text = format!("teleport: {{data_dir: {0}, log: {{output: {1}/t.log}}}}", data.display(), log.display());
        let config = Config::from_text(&format!("{text}\nauth_service: {{enabled: yes}}"), "test").unwrap();
        fs::create_dir(&log).unwrap();
        let command = format!(": install -d -o tessera -m 0711 {}", data.display());
        assert!(missing("tessera", &config).unwrap().ends_with(&command));
        fs::create_dir(&data).unwrap();
        assert_eq!(missing("tessera", &config), None);
    }

    #[test]
    fn systemd_reads_a_path_as_it_was_meant() {
        let flags = ["-c", "/etc/50%/$HOME.yaml", "--pid-file=/run/a/$b"];
        let unit = written(&flags, "auth_service: {enabled: yes}").unwrap();
        let line = "ExecStart=/usr/local/bin/tessera start -c /etc/50%%/$$HOME.yaml --pid-file=/run/a/$$b";
        assert!(unit.lines().any(|found| found == line), "{unit}");
    }

    #[test]
    fn a_value_cannot_add_directives() {
        assert!(written(&["--user=a\nExecStartPre=/bin/evil"], "auth_service: {enabled: yes}").is_err());
    }
}
