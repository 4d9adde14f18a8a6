//! The two notations in which documents are declared: `document!` for a block of fields, `choice!` for a closed list of words.

/// Declares a block of a document: every field may be absent when read, and is left out when written while it has its
/// default value, unless a `+` before its name says that it is always written.
macro_rules! document {
    ($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* }) => {
        document!(@field [$(#[$meta])* pub struct $name] [] $($fields)*);
    };
    (@field [$($head:tt)*] [$($done:tt)*] $(#[$meta:meta])* + $field:ident : $type:ty, $($rest:tt)*) => {
        document!(@field [$($head)*] [$($done)* $(#[$meta])* pub $field: $type,] $($rest)*);
    };
    (@field [$($head:tt)*] [$($done:tt)*] $(#[$meta:meta])* $field:ident : $type:ty, $($rest:tt)*) => {
        document!(@field [$($head)*]
            [$($done)* #[serde(skip_serializing_if = "crate::form::is_default")] $(#[$meta])* pub $field: $type,] $($rest)*);
    };
    (@field [$(#[$meta:meta])* pub struct $name:ident] [$($done:tt)*]) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        #[allow(missing_docs, reason = "the fields are the documented names of the document; a comment repeats none of them")]
        pub struct $name { $($done)* }
    };
}

/// Declares a closed list of words with their wire numbers. The first word is the default; `also` are spellings that are
/// read but never written. A number is read as well, as the reference demands.
macro_rules! choice {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$vmeta:meta])* $variant:ident = $number:literal $word:literal $(also $($alias:literal)|+)?,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vmeta])* #[doc = concat!("`", $word, "`")] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the wire numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it is written in a document.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $(Self::$variant => $number),+ }
            }

            /// The value with this number on the wire.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// Reads a word, in any of its spellings.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word $($(| $alias)+)? => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let words: Vec<&str> = Self::ALL.iter().map(|v| v.as_str()).filter(|w| !w.is_empty()).collect();
                deserializer.deserialize_any($crate::form::choice::ChoiceVisitor {
                    parse: Self::parse, number: Self::from_number, words,
                })
            }
        }
    };
}
