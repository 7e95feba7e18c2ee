use serde::{Deserialize, Serialize};

/// How dear a request is: when there is too much work, the lowest class is shed first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Work that nobody waits for: uploads in bulk, imports, background calls.
    Batch,
    /// Long answers that arrive as they are made.
    Stream,
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// What must go through for anything else to work: tokens, health, administration.
    Critical,
}

impl Class {
    /// Every class, lowest first.
    pub const ALL: [Self; 4] = [Self::Batch, Self::Stream, Self::Interactive, Self::Critical];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Stream => "stream",
            Self::Interactive => "interactive",
            Self::Critical => "critical",
        }
    }

    /// Its place in [`Class::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}
