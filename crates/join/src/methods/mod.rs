//! The registry: one line for each method that is built. The others are known by name, and refused by it.

use domain::{Error, error::Reason, resources::token::JoinMethod};

#[cfg(feature = "prove")]
use crate::Prover;
#[cfg(feature = "verify")]
use crate::Verifier;

macro_rules! methods {
    ($($method:ident => $folder:ident),+ $(,)?) => {
        $(mod $folder;)+

        /// The methods that are built.
        pub const BUILT: &[JoinMethod] = &[$(JoinMethod::$method),+];

        /// The machine's half of a method.
        ///
        /// # Errors
        /// When it is not built.
        #[cfg(feature = "prove")]
        pub fn prover(method: JoinMethod) -> Result<&'static dyn Prover, NotBuilt> {
            match method {
                $(JoinMethod::$method => Ok(&$folder::prove::Half),)+
                other => Err(NotBuilt(other)),
            }
        }

        /// The authority's half of a method.
        ///
        /// # Errors
        /// When it is not built.
        #[cfg(feature = "verify")]
        pub fn verifier(method: JoinMethod) -> Result<&'static dyn Verifier, NotBuilt> {
            match method {
                $(JoinMethod::$method => Ok(&$folder::verify::Half),)+
                other => Err(NotBuilt(other)),
            }
        }
    };
}

methods! {
    Token => token,
}

/// A method that is known but not built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("join method {:?} is not supported yet", .0.as_str())]
pub struct NotBuilt(pub JoinMethod);

impl From<NotBuilt> for Error {
    fn from(error: NotBuilt) -> Self {
        Self::unsupported(error.to_string()).because(Reason::MethodUnsupported)
    }
}

#[cfg(all(test, feature = "prove", feature = "verify"))]
mod tests {
    use domain::error::Kind;

    use super::*;

    #[test]
    fn what_is_not_built_is_refused_by_its_name() {
        for method in JoinMethod::ALL.iter().copied().filter(|method| *method != JoinMethod::Unspecified) {
            let (prover, verifier) = (prover(method).err(), verifier(method).err());
            assert_eq!(prover, verifier, "{method:?}: one half only");
            assert_eq!(prover.is_none(), BUILT.contains(&method), "{method:?}");
            if let Some(refused) = prover {
                let error = Error::from(refused);
                assert_eq!((error.kind, error.reason), (Kind::Unsupported, Some(Reason::MethodUnsupported)));
                assert!(error.message.contains(method.as_str()), "{error}");
            }
        }
    }
}
