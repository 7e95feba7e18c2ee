//! `POST /v1/embeddings`, as OpenAI's clients call it.

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use touchstone_api::openai::{
    EmbeddingObject, EmbeddingsRequest, EmbeddingsResponse, EmbeddingsUsage, EncodedVector,
    EncodingFormat, Input,
};
use touchstone_web::responses::{BodyErrors, CallerErrors, ConflictErrors, IdErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::error::Error;
use crate::service::Embedding;

/// Dense vectors for OpenAI's clients; the model `touchstone` is the active one.
#[utoipa::path(post, path = "/v1/embeddings", tag = "embedding",
    request_body = EmbeddingsRequest,
    responses((status = 200, body = EmbeddingsResponse), CallerErrors, IdErrors, BodyErrors,
        ConflictErrors))]
#[tracing::instrument(name = "embedding.openai", skip_all, fields(tenant.id = %caller.tenant))]
pub async fn embed(
    State(embedding): State<Embedding>,
    Caller(caller): Caller,
    AppJson(request): AppJson<EmbeddingsRequest>,
) -> Result<AppJson<EmbeddingsResponse>, Problem> {
    let EmbeddingsRequest {
        input,
        model,
        encoding_format,
        dimensions,
    } = request;
    let texts = match input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    let (dense, words) = embedding.embed_dense(&caller, texts, model).await?;
    if let Some(asked) = dimensions
        && asked != dense.dimension
    {
        let (model, has) = (dense.model, dense.dimension);
        return Err(Error::Dimensions { model, has, asked }.into());
    }
    let data = dense
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| EmbeddingObject {
            object: "embedding".to_owned(),
            index,
            embedding: encode(vector, encoding_format),
        })
        .collect();
    Ok(AppJson(EmbeddingsResponse {
        object: "list".to_owned(),
        data,
        model: dense.model,
        usage: EmbeddingsUsage {
            prompt_tokens: words,
            total_tokens: words,
        },
    }))
}

fn encode(vector: &[f32], format: EncodingFormat) -> EncodedVector {
    match format {
        EncodingFormat::Float => EncodedVector::Float(vector.to_vec()),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            EncodedVector::Base64(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_little_endian() {
        let encoded = encode(&[1.0, -2.5], EncodingFormat::Base64);
        assert_eq!(encoded, EncodedVector::Base64("AACAPwAAIMA=".to_owned()));
    }
}
