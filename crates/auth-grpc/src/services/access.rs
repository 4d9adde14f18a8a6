//! Why an access is allowed or denied.

use api::{
    r#gen::tessera::v1::{ExplainRequest, ExplainResponse, ExplainStep, explain_request},
    methods::tessera::v1::access_service::Explain,
};
use auth::{
    Operation,
    access::explain::{Question, Subject, explain},
};
use domain::Error;
use rbac::{Contribution, Effect, Explanation, Reason};

use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    vec![unary::<Explain, _, _>(Who::Authenticated, Operation::ExplainAccess, |context, request| async move {
        let explanation = explain(&context.auth, &context.caller, decode(request)?).await?;
        Ok(encode(&explanation))
    })]
}

fn decode(request: ExplainRequest) -> Result<Question, Error> {
    let subject = match request.subject {
        Some(explain_request::Subject::User(name)) => Subject::User(name),
        Some(explain_request::Subject::Roles(roles)) => Subject::Roles(roles.names),
        None => return Err(Error::invalid("subject: a user or roles are needed")),
    };
    Ok(Question { subject, verb: request.verb, kind: request.kind, sub_kind: request.sub_kind, name: request.name })
}

fn encode(explanation: &Explanation) -> ExplainResponse {
    let decision = &explanation.decision;
    let (role, rule) = match &decision.reason {
        Reason::Allowed(source) | Reason::Denied(source) => (source.role.to_string(), source.place.to_string()),
        Reason::NoneAllowed { .. } => Default::default(),
    };
    ExplainResponse {
        allowed: decision.allowed,
        reason: decision.reason.to_string(),
        role,
        rule,
        steps: explanation.contributions.iter().map(step).collect(),
    }
}

fn step(contribution: &Contribution) -> ExplainStep {
    ExplainStep {
        role: contribution.role.to_string(),
        side: contribution.place.and_then(|place| place.side()).map(|side| side.to_string()).unwrap_or_default(),
        rule: contribution.place.map(|place| place.to_string()).unwrap_or_default(),
        matched: matches!(contribution.effect, Effect::Allows | Effect::Denies | Effect::DeniesUnknown(_)),
        reason: contribution.effect.to_string(),
    }
}
