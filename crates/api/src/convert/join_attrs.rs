//! What joining proved: typed messages on the wire, one object for each method in the document.

use domain::{
    Error,
    resources::bot_instance::{JoinAttrs, JoinAttrsMeta},
};
use serde_json::{Map, Value, json};

use super::wire::{Wire, message};
use crate::r#gen::teleport::workloadidentity::v1 as wi;

type Object = Map<String, Value>;

/// One member of an object.
trait Member: Sized {
    fn write(&self) -> Option<Value>;
    fn read(value: Option<&Value>) -> Self;
}

impl Member for String {
    fn write(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(self))
    }

    fn read(value: Option<&Value>) -> Self {
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Member for bool {
    fn write(&self) -> Option<Value> {
        self.then(|| json!(true))
    }

    fn read(value: Option<&Value>) -> Self {
        value.and_then(Value::as_bool).unwrap_or_default()
    }
}

/// A 64-bit number is text in documents of this style.
impl Member for i64 {
    fn write(&self) -> Option<Value> {
        (*self != 0).then(|| json!(self.to_string()))
    }

    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::String(text)) => text.parse().unwrap_or_default(),
            Some(number) => number.as_i64().unwrap_or_default(),
            None => 0,
        }
    }
}

impl Member for Vec<String> {
    fn write(&self) -> Option<Value> {
        (!self.is_empty()).then(|| json!(self))
    }

    fn read(value: Option<&Value>) -> Self {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

impl<T: Attributes> Member for Option<T> {
    fn write(&self) -> Option<Value> {
        self.as_ref().map(|inner| Value::Object(inner.object()))
    }

    fn read(value: Option<&Value>) -> Self {
        value.and_then(Value::as_object).map(T::parse)
    }
}

/// A message that is an object in the document.
trait Attributes {
    fn object(&self) -> Object;
    fn parse(object: &Object) -> Self;
}

macro_rules! attributes {
    ($($message:ident { $($field:ident),* $(,)? })*) => {$(
        impl Attributes for wi::$message {
            fn object(&self) -> Object {
                let members = [$((stringify!($field), self.$field.write())),*];
                let name = |text: &str| text.trim_start_matches("r#").to_owned();
                members.into_iter().filter_map(|(key, value)| Some((name(key), value?))).collect()
            }

            fn parse(object: &Object) -> Self {
                Self { $($field: Member::read(object.get(stringify!($field).trim_start_matches("r#"))),)* }
            }
        }
    )*};
}

attributes! {
    JoinAttrsGitLab {
        sub, r#ref, ref_type, ref_protected, namespace_path, project_path, user_login, user_email, pipeline_id,
        pipeline_source, environment, environment_protected, runner_id, runner_environment, sha, ci_config_ref_uri,
        ci_config_sha,
    }
    JoinAttrsGitHub {
        sub, actor, environment, r#ref, ref_type, repository, repository_owner, workflow, event_name, sha, run_id,
    }
    JoinAttrsAwsiam { account, arn }
    JoinAttrsTpm { ek_pub_hash, ek_cert_serial, ek_cert_verified }
    JoinAttrsAzure { subscription, resource_group }
    JoinAttrsCircleCi { sub, context_ids, project_id }
    JoinAttrsBitbucket {
        sub, step_uuid, repository_uuid, pipeline_uuid, workspace_uuid, deployment_environment_uuid, branch_name,
    }
    JoinAttrsTerraformCloud {
        sub, organization_name, project_name, workspace_name, full_workspace, run_id, run_phase,
    }
    JoinAttrsSpacelift { sub, space_id, caller_type, caller_id, run_type, run_id, scope }
    JoinAttrsGcp { service_account, gce }
    JoinAttrsGcpgce { name, zone, id, project }
    JoinAttrsKubernetes { subject, service_account, pod }
    JoinAttrsKubernetesServiceAccount { name, namespace }
    JoinAttrsKubernetesPod { name }
}

message! {
    JoinAttrsMeta => wi::JoinAttrsMeta { join_token_name, join_method }
}

macro_rules! methods {
    ($($method:ident),*) => {
        impl Wire<wi::JoinAttrs> for JoinAttrs {
            fn to_wire(&self) -> wi::JoinAttrs {
                wi::JoinAttrs {
                    meta: self.meta.to_wire(),
                    $($method: Member::read(self.methods.get(stringify!($method))),)*
                }
            }

            fn from_wire(wire: wi::JoinAttrs) -> Result<Self, Error> {
                let members = [$((stringify!($method), wire.$method.write())),*];
                let methods = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
                Ok(Self { meta: Wire::from_wire(wire.meta)?, methods })
            }
        }
    };
}

methods!(gitlab, github, iam, tpm, azure, circleci, bitbucket, terraform_cloud, spacelift, gcp, kubernetes);
