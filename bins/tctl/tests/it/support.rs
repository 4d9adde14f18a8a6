//! A cluster, the real program run against it, and its output with everything that changes from run to run replaced.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use regex::Regex;
use tempfile::TempDir;
use testkit::{Cluster, Options};

/// What differs between two runs, and what stands for it in a snapshot.
const CHANGING: [(&str, &str); 12] = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"sha256:[0-9a-f]{64}", "sha256:PIN"),
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:FINGERPRINT"),
    (r"\b[0-9a-f]{32}\b", "TOKEN"),
    (r"\*{8,}[0-9a-f]*", "****"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d\d [A-Z][a-z]{2} \d\d \d\d:\d\d UTC", "TIME"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"(?m)(-----BEGIN [A-Z0-9 ]+-----\n)[A-Za-z0-9+/=\n]+", "${1}BASE64\n"),
    (r"[A-Za-z0-9+/]{60,}={0,2}", "BASE64"),
    (r#"("?revision"?: )"?[^",\n]+"?"#, "${1}REVISION"),
    (r"(?m) +$", ""),
];

/// One cluster with a directory for files beside it.
pub(crate) struct Tool {
    pub(crate) cluster: Cluster,
    directory: TempDir,
    changing: Vec<(Regex, &'static str)>,
}

/// How a run ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tool {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// With a proxy, whose certificate is one of its own making.
    pub(crate) async fn with_proxy() -> Self {
        let proxy = "proxy_service: {web_listen_addr: '127.0.0.1:0', public_addr: 'proxy.example.test:443'}\n";
        let tool = Self::with(Options { auth_service: proxy.to_owned(), ..Options::default() }).await;
        // It registers when it is up.
        for _ in 0..100 {
            if tool.done("status").contains("public port") {
                return tool;
            }
            clock::Clock::system().sleep(Duration::from_millis(100)).await;
        }
        panic!("the proxy has not come: {}", tool.done("status"));
    }

    async fn with(options: Options) -> Self {
        let cluster = Cluster::start_with(options).await;
        let directory = tempfile::Builder::new().prefix("tctl-test-").tempdir_in("/tmp").expect("a directory");
        let config = format!(
            "version: v3\nteleport: {{nodename: test, data_dir: {}}}\n\
             auth_service: {{enabled: yes, cluster_name: test.example, listen_addr: '{}'}}\n",
            cluster.data_dir().display(),
            cluster.address(),
        );
        fs::write(directory.path().join("server.yaml"), config).expect("a file");
        let changing = CHANGING.map(|(pattern, stand_in)| (Regex::new(pattern).expect("a pattern"), stand_in)).to_vec();
        Self { cluster, directory, changing }
    }

    /// A path beside the cluster.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Runs the program in our directory with these words and nothing else of our environment; `DIR` is the directory,
    /// `AUTH` the address of the server.
    pub(crate) fn run(&self, line: &str, input: &str, environment: &[(&str, &str)]) -> Run {
        let directory = self.directory.path().display().to_string();
        let line = line.replace("DIR", &directory).replace("AUTH", &self.cluster.address().to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_tctl"))
            .args(line.split_whitespace())
            .current_dir(&directory)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TELEPORT_CONFIG_FILE", self.path("server.yaml"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tctl starts");
        // A program that does not read its input has closed it.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("tctl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run {
            code: output.status.code().expect("no signal ended it"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) fn done(&self, line: &str) -> String {
        let run = self.run(line, "", &[]);
        assert_eq!(run.code, 0, "tctl {line}: {}", run.stderr);
        run.stdout
    }

    /// What a person sees of several commands, one after the other.
    pub(crate) fn transcript(&self, lines: &[&str]) -> String {
        let mut text = String::new();
        for line in lines {
            let run = self.run(line, "", &[]);
            text.push_str(&format!("$ tctl {line}\n{}{}", run.stdout, run.stderr));
            if run.code != 0 {
                text.push_str(&format!("[exit {}]\n", run.code));
            }
            text.push('\n');
        }
        self.stable(&text)
    }

    /// A text with all that changes replaced.
    pub(crate) fn stable(&self, text: &str) -> String {
        let data = self.cluster.data_dir().display().to_string();
        let mut text = text.replace(&data, "DATA").replace(&self.directory.path().display().to_string(), "DIR");
        for (pattern, stand_in) in &self.changing {
            text = pattern.replace_all(&text, *stand_in).into_owned();
        }
        text
    }
}
