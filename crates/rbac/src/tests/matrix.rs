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

const NOTHING: &str = "----------";

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

/// Everybody there is: the parts of the system, the roles that every cluster begins with, a bot, a stranger.
fn callers() -> Vec<(String, AccessChecker)> {
    let bot = Bot::new("ci", BotSpec { roles: strings(&["access"]), ..BotSpec::default() });
    let systems = SystemRole::ALL.iter().map(|role| {
        let set = Arc::new(builtin::role_set([*role]));
        (format!("system role {role}"), AccessChecker::new(role.as_str(), &Traits::new(), set))
    });
    let presets = presets::roles().into_iter().map(|role| (format!("preset {}", role.metadata.name), checker([role])));
    let others = [("the own role of a bot", checker([bot.derived_role()])), ("anonymous", AccessChecker::nobody())];
    systems.chain(presets).chain(others.map(|(name, checker)| (name.to_owned(), checker))).collect()
}

/// The kinds with the same rights in lines of bearable length.
fn lines(rights: &str, kinds: &[&str]) -> String {
    let mut lines = vec![format!("  {rights} ")];
    for kind in kinds {
        if lines.last().is_some_and(|line| line.len() + kind.len() > 116) {
            lines.push(" ".repeat(rights.len() + 3));
        }
        lines.last_mut().unwrap().push_str(&format!(" {kind}"));
    }
    lines.join("\n") + "\n"
}

fn section(name: &str, checker: &AccessChecker) -> String {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for kind in Kind::ALL {
        groups.entry(cell(checker, *kind)).or_default().push(kind.as_str());
    }
    let nothing = groups.remove(NOTHING).unwrap_or_default();
    let mut text = format!("{name}: {} of {} kinds\n", Kind::ALL.len() - nothing.len(), Kind::ALL.len());
    if groups.len() == 1 && nothing.is_empty() {
        text += &lines(groups.keys().next().unwrap(), &["every kind"]);
    } else {
        text.extend(groups.iter().rev().map(|(rights, kinds)| lines(rights, kinds)));
    }
    let reached = Family::ALL.iter().filter(|family| checker.check_labels(**family, &BTreeMap::new()).allowed);
    let reached: Vec<&str> = reached.map(|family| family.as_str()).collect();
    if !reached.is_empty() {
        text += &format!("  reaches without labels: {}\n", reached.join(" "));
    }
    text
}

/// Read it by caller: what is not in a section, the caller may not do. A kind that is new shows up where somebody gets it.
#[test]
fn caller_by_kind_by_verb() {
    let mut text = String::from(
        "l list, c create, r read, n readnosecrets, u update, d delete, o rotate, s use, e enroll, t create_enroll_token\n\
         a capital: only where a condition of the rule holds; a kind that is not named: nothing\n",
    );
    text.extend(callers().iter().map(|(name, checker)| format!("\n{}", section(name, checker))));
    insta::assert_snapshot!("caller_by_kind_by_verb", text.trim_end());
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
