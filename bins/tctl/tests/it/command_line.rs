//! The command line itself: help, typing errors, completion, and commands of parts that are not built.

use crate::support::Tool;

#[tokio::test(flavor = "multi_thread")]
async fn typing_errors_name_the_nearest_word_and_end_with_2() {
    let tool = Tool::start().await;
    seen!(tool.transcript(&[
        "statsu",
        "status --fromat=json",
        "bots ad ci",
        "tokens add",
        "lock",
        "lock --user=a --ttl=1h --expires=2030-01-01T00:00:00Z",
        "auth sign",
        "auth sign --user=a --host=b",
        "get",
        "get rolls",
        "rm role",
        "edit roles",
        "users update alice",
        "bots instances show ci",
        "--auth-server=AUTH status",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_told_in_both_ways() {
    let tool = Tool::start().await;
    let command = tool.run("version", "", &[]).stdout;
    assert!(command.starts_with("Tessera v") && command.ends_with(" tctl\n"), "{command}");
    for flag in ["--version", "-V"] {
        assert_eq!(tool.run(flag, "", &[]).stdout, command);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_says_so_and_ends_with_7() {
    let tool = Tool::start().await;
    for line in [
        "acl ls",
        "alerts create --severity=high x",
        "autoupdate client-tools status",
        "bound-keypair rotate x",
        "db ls",
        "desktops ls",
        "devices ls",
        "kube ls",
        "login_rule test",
        "nodes add --roles=node",
        "nodes ls",
        "notifications ls",
        "request ls",
        "requests ls",
        "sso configure github",
        "stable-unix-users ls",
        "top",
        "workload-identity ls",
        "auth rotate --type=host",
        "tokens configure-kube",
        "get node",
        "get workload_identity/x",
        "auth export --type=github --integration=x",
        "auth sign --user=a --format=kubernetes",
    ] {
        let run = tool.run(line, "", &[]);
        assert_eq!(run.code, 7, "{line}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains("not supported yet"), "{line}: {}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_and_the_completion_scripts() {
    let tool = Tool::start().await;
    seen!(tool.transcript(&["--help", "bots add --help", "version", "version --format=json"]));
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef tctl"), ("fish", "complete -c tctl")] {
        let script = tool.done(&format!("completion {shell}"));
        assert!(script.contains(word) && script.contains("instances"), "{shell}");
    }
}
