//! Which resources of a list are wanted: labels, search words, a query, and in which order.

use std::{cmp::Ordering, collections::BTreeMap};

use domain::{
    Error,
    resources::{App, AppServer},
};
use predicate::Expression;

use crate::{
    query::{self, Document},
    search::Keywords,
};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Labels that must be there with these values; `*` for any value.
    pub labels: BTreeMap<String, String>,
    /// Words that must be found in the name, the labels or the description.
    pub keywords: Vec<String>,
    /// An expression.
    pub expression: String,
    /// By which field: `name`, `description`, `publicAddr`; empty for the order of storage.
    pub sort_field: String,
    /// Whether the order is reversed.
    pub is_descending: bool,
}

/// What is asked for, checked.
#[derive(Debug)]
pub(crate) struct Query {
    asked: Asked,
    keywords: Keywords,
    expression: Option<Expression>,
    order: Option<Order>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Name,
    Description,
    PublicAddress,
}

impl Query {
    pub(crate) fn parse(asked: Asked) -> Result<Self, Error> {
        let expression = query::parse(&asked.expression)?;
        let order = match asked.sort_field.as_str() {
            "" => None,
            "name" => Some(Order::Name),
            "description" => Some(Order::Description),
            "publicAddr" | "addr" => Some(Order::PublicAddress),
            other => {
                return Err(Error::invalid(format!(
                    "sort_by: applications can be sorted by name, description or publicAddr, found {other:?}"
                )));
            }
        };
        let keywords = Keywords::parse(&asked.keywords)?;
        Ok(Self { asked, keywords, expression, order })
    }

    /// Whether the whole list must be known before the first page.
    pub(crate) const fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// Whether an application is wanted. One for which the expression has no answer is not.
    pub(crate) fn matches(&self, app: &App) -> bool {
        let labels = app.all_labels();
        let has =
            |(key, value): (&String, &String)| labels.get(key).is_some_and(|found| value == "*" || value == found);
        let more = [app.metadata.description.as_str(), app.spec.public_addr.as_str(), app.spec.uri.as_str()];
        self.asked.labels.iter().all(has)
            && self.keywords.match_resource(&app.metadata, &more)
            && self.expression.as_ref().is_none_or(|expression| document(app, &labels).fits(expression))
    }

    /// The order of two servers.
    pub(crate) fn compare(&self, a: &AppServer, b: &AppServer) -> Ordering {
        let field = |server: &AppServer| -> String {
            let Some(app) = &server.spec.app else { return String::new() };
            match self.order {
                None => String::new(),
                Some(Order::Name) => app.metadata.name.clone(),
                Some(Order::Description) => app.metadata.description.clone(),
                Some(Order::PublicAddress) => app.spec.public_addr.clone(),
            }
        };
        let identity = |server: &AppServer| (server.metadata.name.clone(), server.spec.host_id.clone());
        let order = field(a).cmp(&field(b)).then_with(|| identity(a).cmp(&identity(b)));
        if self.asked.is_descending { order.reverse() } else { order }
    }
}

fn document<'a>(app: &'a App, labels: &'a BTreeMap<String, String>) -> Document<'a> {
    Document { name: &app.metadata.name, labels, json: serde_json::to_value(app).unwrap_or_default() }
}
