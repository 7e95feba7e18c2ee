//! The OpenAI-compatible face: `/v1/embeddings`, `/v1/chat/completions`, `/v1/models`.
//!
//! Requests accept unknown fields, because the clients that speak this dialect send many.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

/// The model name that answers through retrieval.
pub const TOUCHSTONE_MODEL: &str = "touchstone";

/// One text or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Input {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// The derived schema cannot bound the list.
fn input_schema() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let texts = ArrayBuilder::new()
        .items(text())
        .min_items(Some(1))
        .max_items(Some(256));
    OneOfBuilder::new().item(text()).item(texts).build().into()
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian `f32`, base64.
    Base64,
}

/// `POST /v1/embeddings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsRequest {
    /// One text, or 1 to 256.
    #[schema(schema_with = input_schema)]
    pub input: Input,
    /// Model.
    #[schema(min_length = 1)]
    pub model: String,
    /// How to write the vectors.
    #[serde(default)]
    pub encoding_format: EncodingFormat,
    /// Accepted when it equals the model's own dimension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    #[serde(deserialize_with = "crate::whole::optional")]
    pub dimensions: Option<usize>,
}

/// A vector in one of the two notations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum EncodedVector {
    /// Numbers.
    Float(Vec<f32>),
    /// Base64.
    Base64(String),
}

/// One vector of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingObject {
    /// `embedding`.
    pub object: String,
    /// Which input.
    pub index: usize,
    /// The vector.
    pub embedding: EncodedVector,
}

/// Answer of `POST /v1/embeddings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsResponse {
    /// `list`.
    pub object: String,
    /// Vectors in input order.
    pub data: Vec<EmbeddingObject>,
    /// Model.
    pub model: String,
    /// Tokens.
    pub usage: EmbeddingsUsage,
}

/// Tokens of an embedding call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsUsage {
    /// Of the inputs.
    pub prompt_tokens: usize,
    /// The same.
    pub total_tokens: usize,
}

/// A chat message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`.
    pub role: String,
    /// Text, or parts of text.
    #[serde(default)]
    pub content: Option<ChatContent>,
}

/// Content of a message in one of the two notations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChatContent {
    /// Text.
    Text(String),
    /// Parts.
    Parts(Vec<ChatPart>),
}

impl ChatContent {
    /// The text of it all.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts
                .iter()
                .filter_map(|part| part.text.as_deref())
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatPart {
    /// `text`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// `POST /v1/chat/completions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// `touchstone` answers through retrieval; a provider's name answers without.
    #[schema(min_length = 1)]
    pub model: String,
    /// The conversation; the last user message is the question.
    #[schema(min_items = 1)]
    pub messages: Vec<ChatMessage>,
    /// Answer as SSE chunks.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Options of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// Most tokens to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<usize>, minimum = 1)]
    #[serde(deserialize_with = "crate::whole::optional")]
    pub max_tokens: Option<u32>,
    /// Passed on to an `openai` provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
}

/// Options of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamOptions {
    /// Send a last chunk with the usage.
    #[serde(default)]
    pub include_usage: bool,
}

/// Answer of `POST /v1/chat/completions`, and with `object = "chat.completion.chunk"` each SSE
/// chunk of a streamed one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatResponse {
    /// Id.
    pub id: String,
    /// `chat.completion` or `chat.completion.chunk`.
    pub object: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Model.
    pub model: String,
    /// One choice; none in the usage chunk.
    pub choices: Vec<ChatChoice>,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<crate::generation::Usage>,
    /// Our own addition: the verified citations, on the whole answer or the last chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub citations: Option<Vec<crate::generation::Citation>>,
}

/// What a streamed answer of `POST /v1/chat/completions` consists of.
#[derive(Clone, Copy, Debug, ToSchema)]
pub struct ChatFrame {
    /// JSON: a `ChatResponse`; the last one is the text `[DONE]`.
    #[schema(value_type = String)]
    pub data: (),
}

/// One choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatChoice {
    /// 0.
    pub index: u32,
    /// Of a whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<ChatDelta>,
    /// Of a chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<ChatDelta>,
    /// `stop`, `length`, or `null` while it goes on.
    pub finish_reason: Option<String>,
}

/// A message or a piece of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatDelta {
    /// `assistant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Answer of `GET /v1/models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelsResponse {
    /// `list`.
    pub object: String,
    /// Models.
    pub data: Vec<ModelObject>,
}

/// A model's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelObject {
    /// Name.
    pub id: String,
    /// `model`.
    pub object: String,
    /// Seconds since 1970.
    pub created: i64,
    /// `touchstone`.
    pub owned_by: String,
}
