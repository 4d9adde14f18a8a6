//! Decisions, and why they fall as they do.

use api::{
    r#gen::tessera::v1::{ExplainRequest, RoleNames, explain_request},
    methods::tessera::v1::access_service,
};
use client::Client;
use domain::Error;
use serde::Serialize;

/// Whose access is explained.
pub(crate) enum Subject {
    /// A user, as stored.
    User(String),
    /// Somebody with these roles.
    Roles(Vec<String>),
}

/// What is asked.
pub(crate) struct Question {
    pub(crate) subject: Subject,
    pub(crate) verb: String,
    pub(crate) kind: String,
    pub(crate) sub_kind: String,
    pub(crate) name: String,
}

/// What the server decided.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
    /// The role that decided; empty when none allowed.
    pub(crate) role: String,
    /// Its rule that decided.
    pub(crate) rule: String,
    pub(crate) steps: Vec<Step>,
}

/// What one place of a role contributed.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) role: String,
    pub(crate) side: String,
    pub(crate) rule: String,
    pub(crate) effect: String,
}

/// Has the server decide for somebody else.
pub(crate) async fn explain(client: &Client, question: Question) -> Result<Answer, Error> {
    let subject = match question.subject {
        Subject::User(name) => explain_request::Subject::User(name),
        Subject::Roles(names) => explain_request::Subject::Roles(RoleNames { names }),
    };
    let request = ExplainRequest {
        subject: Some(subject),
        verb: question.verb,
        kind: question.kind,
        sub_kind: question.sub_kind,
        name: question.name,
    };
    let answer = client.call::<access_service::Explain>(request).await?;
    let steps = answer.steps.into_iter();
    let steps = steps.map(|step| Step { role: step.role, side: step.side, rule: step.rule, effect: step.reason });
    Ok(Answer {
        allowed: answer.allowed,
        reason: answer.reason,
        role: answer.role,
        rule: answer.rule,
        steps: steps.collect(),
    })
}
