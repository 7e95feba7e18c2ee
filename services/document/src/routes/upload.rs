//! Reads an upload from a JSON or a multipart body.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use bytesize::ByteSize;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use touchstone_api::document::{CreateDocumentRequest, Metadata, metadata_schema};
use touchstone_api::headers::IDEMPOTENCY_KEY;
use touchstone_web::{AppJson, Problem, RequestError};
use utoipa::ToSchema;

use crate::domain::limits;
use crate::error::Error;
use crate::service::Upload;

/// Longest field that is not the file, in bytes.
const FIELD_BYTES: usize = 64 * 1024;

/// A multipart upload.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "documents the form; the fields are read one by one"
)]
pub struct UploadForm {
    /// The file; its part names the file and perhaps the media type.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// File name, instead of the part's own.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    filename: Option<String>,
    /// Media type, instead of the part's own.
    #[schema(
        nullable = false,
        max_length = 255,
        pattern = r"^ *[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+ *(;[ -~]*)?$"
    )]
    mime: Option<String>,
    /// Language (ISO 639-1); detected when absent.
    #[schema(nullable = false, pattern = "^[A-Za-z]{2,3}$")]
    language: Option<String>,
    /// Free facts: a JSON object, text to text.
    #[schema(schema_with = metadata_schema, required = false)]
    metadata: Option<String>,
}

/// The idempotency key, if there is one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    limits::check_idempotency_key(value.as_bytes())?;
    Ok(Some(String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

/// Reads the body as its content type says.
pub async fn read(request: Request, most: ByteSize) -> Result<Upload, Problem> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        let form = Multipart::from_request(request, &()).await;
        let form = form.map_err(|error| Error::MalformedMultipart(error.body_text()))?;
        return Ok(read_form(form, most).await?);
    }
    if !essence.eq_ignore_ascii_case("application/json") {
        let expected = "application/json` or `multipart/form-data".into();
        return Err(RequestError::MediaType { expected }.into());
    }
    let body = Bytes::from_request(request, &())
        .await
        .map_err(RequestError::from)?;
    let request: CreateDocumentRequest = AppJson::parse(&body)?;
    Ok(Upload {
        filename: request.filename,
        mime: request.mime,
        language: request.language,
        metadata: request.metadata,
        body: Bytes::from(request.content),
    })
}

async fn read_form(mut form: Multipart, most: ByteSize) -> Result<Upload, Error> {
    let (mut file, mut filename, mut mime, mut language, mut metadata) =
        (None, None, None, None, None);
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let slot = match name.as_str() {
            "file" => {
                let part = (
                    field.file_name().map(str::to_owned),
                    field.content_type().map(str::to_owned),
                );
                let body = read_field(field, most.as_u64(), || Error::TooLarge(most)).await?;
                if file.replace((part, body)).is_some() {
                    return Err(Error::Multipart("`file` must be sent once".to_owned()));
                }
                continue;
            }
            "filename" => &mut filename,
            "mime" => &mut mime,
            "language" => &mut language,
            "metadata" => &mut metadata,
            _ => {
                return Err(Error::Multipart(format!(
                    "unknown field `{}`",
                    printable(&name)
                )));
            }
        };
        let too_long = || Error::Multipart(format!("`{name}` is too long"));
        let value = read_field(field, FIELD_BYTES as u64, too_long).await?;
        let value = String::from_utf8(value.to_vec())
            .map_err(|_| Error::Multipart(format!("`{name}` is not valid UTF-8")))?;
        if slot.replace(value).is_some() {
            return Err(Error::Multipart(format!("`{name}` must be sent once")));
        }
    }
    let Some(((own_name, own_mime), body)) = file else {
        return Err(Error::Multipart("`file` is missing".to_owned()));
    };
    let Some(filename) = filename.or(own_name) else {
        return Err(Error::Multipart("`file` needs a file name".to_owned()));
    };
    let metadata: Metadata = match metadata {
        Some(json) => serde_json::from_str(&json).map_err(|_| {
            Error::Multipart("`metadata` must be a JSON object of texts".to_owned())
        })?,
        None => Metadata::new(),
    };
    Ok(Upload {
        filename,
        mime: mime.or(own_mime),
        language,
        metadata,
        body,
    })
}

/// Reads a field piece by piece and stops as soon as it is too long.
async fn read_field(
    mut field: Field<'_>,
    most: u64,
    too_long: impl Fn() -> Error,
) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        if (body.len() + piece.len()) as u64 > most {
            return Err(too_long());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn broken(error: MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::BodyTooLarge
    } else {
        Error::MalformedMultipart(error.body_text())
    }
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}
