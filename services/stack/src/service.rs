use std::fmt;
use std::str::FromStr;

/// A service of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Model runtimes.
    Model,
    /// Points and queries.
    Vector,
    /// Text to vectors.
    Embedding,
    /// Users and tokens.
    Auth,
    /// Documents and their ingestion.
    Document,
    /// Search.
    Retrieval,
    /// Answers.
    Generation,
    /// Statistics.
    Analytics,
    /// Telegram channels.
    Telegram,
    /// The public edge.
    Gateway,
}

impl Service {
    /// Every service, callees before callers.
    pub const ALL: [Self; 10] = [
        Self::Model,
        Self::Vector,
        Self::Embedding,
        Self::Auth,
        Self::Document,
        Self::Retrieval,
        Self::Generation,
        Self::Analytics,
        Self::Telegram,
        Self::Gateway,
    ];

    /// Its name in the mesh, in the configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Vector => "vector",
            Self::Embedding => "embedding",
            Self::Auth => "auth",
            Self::Document => "document",
            Self::Retrieval => "retrieval",
            Self::Generation => "generation",
            Self::Analytics => "analytics",
            Self::Telegram => "telegram",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|service| service.name()).collect();
                format!("`{name}` is no service; there are {}", names.join(", "))
            })
    }
}
