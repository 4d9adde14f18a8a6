//! What goes to an application and comes back from one, for the fuzz targets; behind a feature, so that nothing else can
//! use it.

use std::{collections::BTreeMap, net::SocketAddr};

use domain::resources::app::Rewrite;
use http::{HeaderMap, HeaderValue};

use crate::{
    target::Target,
    web::{headers, rewrite::Rewrites},
};

/// Makes the headers of a request those that the application gets, but for the assertion; what is to be spoken from here on
/// is returned.
pub fn to_application(map: &mut HeaderMap, source: SocketAddr) -> Option<HeaderValue> {
    let via = headers::Via::read(map, None, Some(source));
    let upgrade = headers::upgrade(map);
    headers::strip_hop_by_hop(map);
    via.tell(map);
    upgrade
}

/// Sets the headers that an application's definition names; the value of `Host` is returned.
///
/// # Errors
/// The definition is out of order.
pub fn rewrite(
    rules: &Rewrite,
    map: &mut HeaderMap,
    traits: BTreeMap<String, Vec<String>>,
) -> Result<Option<HeaderValue>, domain::Error> {
    Ok(Rewrites::compile(Some(rules))?.apply_traits(map, traits, "an assertion"))
}

/// Turns a redirect of an application at `uri` back to `public`.
///
/// # Errors
/// The definition is out of order.
pub fn redirect(rules: &Rewrite, map: &mut HeaderMap, uri: &str, public: &str) -> Result<(), domain::Error> {
    let target = Target::parse(uri)?;
    Rewrites::compile(Some(rules))?.redirect(map, &target, public);
    Ok(())
}
