//! Pages of roles.

use domain::{Error, Resource as _, resources::Role};
use rbac::Verb;
use store::{ListRequest, Page};

use super::is_system;
use crate::{Auth, Caller, Operation, guard::Guard, search::Keywords};

/// Which roles.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Each must be part of the name or of a label; letter case is ignored.
    pub keywords: Vec<String>,
    /// Whether roles of the system itself are left out.
    pub skip_system: bool,
}

/// A page of the roles that the caller may see.
///
/// # Errors
/// Denied, invalid page token.
pub async fn list(
    auth: &Auth,
    caller: &Caller,
    request: ListRequest<'_>,
    filter: &Filter,
) -> Result<Page<Role>, Error> {
    let keywords = Keywords::parse(&filter.keywords)?;
    let wanted =
        |role: &Role| !(filter.skip_system && is_system(role)) && keywords.match_resource(role.metadata(), &[]);
    Guard::new(auth, caller, Operation::ReadRoles).page(&request, &[Verb::List, Verb::Read], wanted).await
}
