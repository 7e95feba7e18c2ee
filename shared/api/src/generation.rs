//! generation: answers with verified citations.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{ChunkId, ConversationId, DocumentId, MessageId};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::retrieval::SearchFilter;

/// `POST /ask`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// The question, 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000)]
    pub question: String,
    /// Answer as SSE.
    #[serde(default)]
    pub stream: bool,
    /// Continue this conversation; a new one is made when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Passages to retrieve, 1 to 20 (default 5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 20)]
    #[serde(deserialize_with = "crate::whole::optional")]
    pub limit: Option<usize>,
    /// Narrows the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<SearchFilter>,
    /// Provider by name; the active one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub provider: Option<String>,
}

/// What the gate found about a citation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The quote stands at its span, byte for byte.
    Exact,
    /// Stands there but for case, spaces or punctuation.
    Fuzzy,
    /// Stands in another passage than the cited one.
    Misattributed,
    /// Stitched from several places.
    Frankenquote,
    /// Stands nowhere.
    Fabricated,
    /// A number or a name of the claim is not in its source.
    UnsupportedNumber,
}

impl Verdict {
    /// Whether a claim with this verdict may be delivered.
    pub const fn is_sound(self) -> bool {
        matches!(self, Self::Exact | Self::Fuzzy)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Fuzzy => "fuzzy",
            Self::Misattributed => "misattributed",
            Self::Frankenquote => "frankenquote",
            Self::Fabricated => "fabricated",
            Self::UnsupportedNumber => "unsupported_number",
        })
    }
}

/// A citation: where a claim's words stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Citation {
    /// Number in the answer, `[1]`.
    pub marker: usize,
    /// Document.
    pub document_id: DocumentId,
    /// Its title.
    pub title: String,
    /// Chunk.
    pub chunk_id: ChunkId,
    /// First byte of the quote in the document's stored text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Exactly those bytes.
    pub quote: String,
    /// What the gate found.
    pub verdict: Verdict,
    /// Link to the original, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What retrieval did for an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetrievalSummary {
    /// Passages in the context.
    pub passages: Vec<RetrievedPassage>,
    /// Signals that were used.
    pub signals: Vec<String>,
    /// Dense model, or `null`.
    pub dense_model: Option<String>,
    /// Confidence that the passages answer, 0 to 1.
    pub confidence: f32,
}

/// A passage of the context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetrievedPassage {
    /// Number in the prompt.
    pub marker: usize,
    /// Document.
    pub document_id: DocumentId,
    /// Chunk.
    pub chunk_id: ChunkId,
    /// The document's title.
    pub title: String,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Exactly those bytes.
    pub text: String,
    /// Score.
    pub score: f32,
}

/// Tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// Both.
    pub total_tokens: u32,
}

/// Count of citations by verdict, and what the gate did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Claims that were checked.
    pub checked: usize,
    /// Claims that hold.
    pub passed: usize,
    /// Claims that were struck from the answer.
    pub struck: usize,
    /// Whether nothing was left and the answer abstains.
    pub abstained: bool,
}

/// Answer of `POST /ask` without streaming.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AskResponse {
    /// The text with its `[n]` marks; struck claims are gone.
    pub answer: String,
    /// Where each mark stands.
    pub citations: Vec<Citation>,
    /// What the gate did.
    pub verification: Verification,
    /// What retrieval did.
    pub retrieval: RetrievalSummary,
    /// Tokens.
    pub usage: Usage,
    /// Who wrote it.
    pub provider: String,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Parts that were missing, e.g. `["generation"]`; empty when all is well.
    pub degraded: Vec<String>,
}

/// A streamed answer's events, in the order `retrieval`, `token`*, `citation`*, `verification`,
/// `usage`, `done`; `error` ends a stream that fails after its first byte. The SSE `event` field
/// is the variant's name, `data` is the JSON of its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum AskEvent {
    /// Once, first.
    Retrieval(RetrievalSummary),
    /// A piece of the answer.
    Token(TokenEvent),
    /// A citation, as soon as its claim is complete and checked.
    Citation(Citation),
    /// Once.
    Verification(Verification),
    /// Once.
    Usage(Usage),
    /// Once, last: the answer as it stands after the gate.
    Done(DoneEvent),
    /// Ends a stream that failed after its first byte.
    Error(StreamError),
}

/// What a stream of `POST /ask` consists of: an [`AskEvent`] as the SSE format writes it.
#[derive(Clone, Copy, Debug, ToSchema)]
pub struct AskFrame {
    /// What comes; the order is that of the words here, `error` ends a stream that fails.
    #[schema(schema_with = ask_event_names)]
    pub event: (),
    /// JSON: the content of the `AskEvent` of that name.
    #[schema(value_type = String, content_media_type = "application/json")]
    pub data: (),
}

fn ask_event_names() -> Schema {
    let names = [
        "retrieval",
        "token",
        "citation",
        "verification",
        "usage",
        "done",
        "error",
    ];
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names))
        .into()
}

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenEvent {
    /// Append it.
    pub text: String,
}

/// The end of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoneEvent {
    /// The whole answer after the gate; replaces what was streamed when claims were struck.
    pub answer: String,
    /// Who wrote it.
    pub provider: String,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Parts that were missing.
    pub degraded: Vec<String>,
}

/// A failure inside a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamError {
    /// Stable code.
    pub code: String,
    /// In words.
    pub detail: String,
}

/// `POST /generate`: a completion without retrieval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// The prompt, 1 to 32,000 characters.
    #[schema(min_length = 1, max_length = 32000)]
    pub prompt: String,
    /// Most tokens to write, 1 to 4,096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4096)]
    #[serde(deserialize_with = "crate::whole::optional")]
    pub max_tokens: Option<u32>,
    /// Provider by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub provider: Option<String>,
}

/// Answer of `POST /generate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerateResponse {
    /// The text.
    pub text: String,
    /// Who wrote it.
    pub provider: String,
    /// Tokens.
    pub usage: Usage,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// Name.
    pub name: String,
    /// `extractive`, `simulated` or `openai`.
    pub kind: String,
    /// Whether it answers when none is named.
    pub active: bool,
    /// Model behind it.
    pub model: String,
}

/// Answer of `GET /providers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderList {
    /// All of them.
    pub items: Vec<Provider>,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// Id.
    pub id: ConversationId,
    /// The first question, shortened.
    pub title: String,
    /// Messages in it.
    pub message_count: u32,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it last grew.
    pub updated_at: DateTime<Utc>,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageRole {
    /// The person.
    User,
    /// The stack.
    Assistant,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Id.
    pub id: MessageId,
    /// Position in the conversation, from 1, without holes.
    pub sequence: u32,
    /// Who wrote it.
    pub role: MessageRole,
    /// The text.
    pub content: String,
    /// Citations of an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub citations: Vec<Citation>,
    /// False when the stream broke before its end.
    pub complete: bool,
    /// When.
    pub created_at: DateTime<Utc>,
}
