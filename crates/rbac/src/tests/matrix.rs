//! Who may do what with which kind, all of it, to be read in review.

use domain::{
    Kind, presets,
    resources::{Bot, bot::BotSpec},
    role::SystemRole,
};

use super::*;
use crate::{Family, RuleContext, Verb, builtin};

/// A letter for each verb. A capital: only under a condition.
const LETTERS: [(Verb, char); 10] = [
    (Verb::List, 'l'),
    (Verb::Create, 'c'),
    (Verb::Read, 'r'),
    (Verb::ReadNoSecrets, 'n'),
    (Verb::Update, 'u'),
    (Verb::Delete, 'd'),
    (Verb::Rotate, 'o'),
    (Verb::Use, 's'),
    (Verb::Enroll, 'e'),
    (Verb::CreateEnrollToken, 't'),
];

fn cell(checker: &AccessChecker, kind: Kind) -> String {
    let letter = |(verb, letter): (Verb, char)| {
        if checker.check_rule(&RuleContext::NONE, kind, verb).allowed {
            letter
        } else if checker.may_be_allowed(kind, verb) {
            letter.to_ascii_uppercase()
        } else {
            '-'
        }
    };
    LETTERS.into_iter().map(letter).collect()
}

fn callers() -> Vec<(&'static str, AccessChecker)> {
    let preset = |name: &str| {
        let found = presets::roles().into_iter().find(|role| role.metadata.name == name);
        checker([found.unwrap_or_else(|| panic!("no preset {name}"))])
    };
    let host = |name: &str, role| AccessChecker::new(name, &Traits::new(), Arc::new(builtin::role_set([role])));
    let bot = Bot::new("ci", BotSpec { roles: strings(&["access"]), ..BotSpec::default() });
    vec![
        ("admin", host("admin", SystemRole::Admin)),
        ("editor", preset("editor")),
        ("access", preset("access")),
        ("auditor", preset("auditor")),
        ("bot", checker([bot.derived_role()])),
        ("node", host("node", SystemRole::Node)),
        ("app", host("app", SystemRole::App)),
        ("db", host("db", SystemRole::Db)),
        ("kube", host("kube", SystemRole::Kube)),
        ("proxy", host("proxy", SystemRole::Proxy)),
        ("instance", host("instance", SystemRole::Instance)),
        ("anonymous", AccessChecker::nobody()),
    ]
}

#[test]
fn caller_by_kind_by_verb() {
    let callers = callers();
    let mut table = String::from(
        "l list, c create, r read, n readnosecrets, u update, d delete, o rotate, s use, e enroll, t create_enroll_token\n\
         a capital: only where a condition of the rule holds\n\n",
    );
    table += &format!("{:<45}", "kind");
    table.extend(callers.iter().map(|(name, _)| format!("{name:<12}")));
    for kind in Kind::ALL {
        table += &format!("\n{:<45}", kind.as_str());
        table.extend(callers.iter().map(|(_, checker)| format!("{:<12}", cell(checker, *kind))));
    }
    table += &format!("\n\n{:<45}", "reach by label: + any, - none without labels");
    for family in Family::ALL {
        table += &format!("\n{:<45}", family.as_str());
        table.extend(callers.iter().map(|(_, checker)| {
            let reaches = checker.check_labels(family, &BTreeMap::new()).allowed;
            format!("{:<12}", if reaches { "+" } else { "-" })
        }));
    }
    let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("caller_by_kind_by_verb", trimmed.join("\n"));
}

#[test]
fn no_host_but_the_cluster_itself_touches_what_gives_power() {
    let power = [Kind::Role, Kind::User, Kind::Token, Kind::Bot, Kind::Lock, Kind::CertAuthority, Kind::BotInstance];
    for system_role in SystemRole::ALL {
        if matches!(system_role, SystemRole::Admin | SystemRole::Auth) {
            continue;
        }
        let host = AccessChecker::new("host", &Traits::new(), Arc::new(builtin::role_set([*system_role])));
        for kind in power {
            for verb in [Verb::Create, Verb::Update, Verb::Delete, Verb::Rotate] {
                assert!(!host.may_be_allowed(kind, verb), "{system_role} may {verb} {kind}");
            }
        }
        for secret in [Kind::Token, Kind::CertAuthority, Kind::User] {
            assert!(!host.may_be_allowed(secret, Verb::Read), "{system_role} may read the secrets of {secret}");
        }
    }
}
