use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! word_enum {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire and in the stores.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        // The derived schema would show the names of the variants.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(concat!($($doc),+).trim()))
                    .enum_values(Some(Self::ALL.iter().map(|value| value.as_str())))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
                    format!("`{word}` is none of {}", known.join(", "))
                })
            }
        }
    };
}

word_enum! {
    /// Where a document stands on its way into the index.
    DocumentStatus {
        /// Accepted and durable; nothing done yet.
        Queued = "queued",
        /// Its text was extracted.
        Parsed = "parsed",
        /// Its text was cut into chunks; keyword search can find them.
        Chunked = "chunked",
        /// Every chunk has its vectors.
        Embedded = "embedded",
        /// The vector store holds every point, counted back.
        Indexed = "indexed",
        /// Given up, with a reason; `retry` starts it again.
        Failed = "failed",
        /// Stopped on request; `retry` starts it again.
        Cancelled = "cancelled",
    }
}

impl DocumentStatus {
    /// Whether no worker will touch the document until somebody asks for it.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Indexed | Self::Failed | Self::Cancelled)
    }
}

word_enum! {
    /// Where a document came from.
    Source {
        /// Sent through the API.
        Upload = "upload",
        /// The bundled demo corpus.
        Demo = "demo",
        /// A Telegram post.
        Telegram = "telegram",
    }
}

word_enum! {
    /// What a user may do.
    Role {
        /// Reads and writes the tenant's own data.
        Member = "member",
        /// Also manages the tenant: users, keys, models, collections.
        Admin = "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for status in DocumentStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            let json = serde_json::to_string(status).unwrap();
            assert_eq!(json, format!("\"{status}\""));
        }
        let schema = serde_json::to_value(<DocumentStatus as utoipa::PartialSchema>::schema());
        let words: Vec<_> = DocumentStatus::ALL
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(schema.unwrap()["enum"], serde_json::json!(words));
        assert!(
            "done"
                .parse::<DocumentStatus>()
                .unwrap_err()
                .contains("queued")
        );
    }
}
