//! Queries of requests; each names the tenant.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::PgRow;
use touchstone_api::document::{Document, Failure as WireFailure, TimelineEntry};
use touchstone_store::postgres::{Database, int, read, uint};
use touchstone_types::{ByteSpan, DocumentId, TenantId};
use uuid::Uuid;

use super::sql;
use crate::store::common::{corrupt, word};
use crate::store::{
    ChunkList, Dead, Error, Failure, ListFilter, NewChunk, Original, Piece, StoredText, TextPiece,
};

/// Offsets and lengths beyond this reach past the end of every text.
const FAR: i32 = 1 << 30;

pub async fn document(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<Document>, Error> {
    read!(db, |connection| {
        let row = sqlx::query(sql::DOCUMENT)
            .bind(tenant.as_uuid())
            .bind(id.as_uuid())
            .fetch_optional(connection)
            .await?;
        row.as_ref().map(read_document).transpose()
    })
}

pub async fn list(
    db: &Database,
    tenant: TenantId,
    filter: &ListFilter,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<Document>, Error> {
    let statement = match filter.status {
        None => sql::LIST,
        Some(_) => sql::LIST_BY_STATUS,
    };
    read!(db, |connection| {
        let mut query = sqlx::query(statement)
            .bind(tenant.as_uuid())
            .bind(after.map_or_else(Uuid::max, |id| *id.as_uuid()))
            .bind(filter.source.map(touchstone_types::Source::as_str))
            .bind(filter.created_after.unwrap_or(DateTime::<Utc>::UNIX_EPOCH))
            .bind(filter.created_before.unwrap_or(end_of_time()))
            .bind(i64::from(limit));
        if let Some(status) = filter.status {
            query = query.bind(status.as_str());
        }
        let rows = query.fetch_all(connection).await?;
        rows.iter().map(read_document).collect()
    })
}

/// Later than every document; both backends can hold it.
fn end_of_time() -> DateTime<Utc> {
    DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn read_document(row: &PgRow) -> Result<Document, Error> {
    let failure = match row.try_get::<Option<String>, _>("failure_code")? {
        Some(code) => {
            let message: Option<String> = row.try_get("failure_message")?;
            Some(WireFailure {
                code,
                message: message.unwrap_or_default(),
            })
        }
        None => None,
    };
    Ok(Document {
        id: DocumentId::from_uuid(row.try_get("id")?),
        filename: row.try_get("filename")?,
        title: row.try_get("title")?,
        mime: row.try_get("mime")?,
        language: row.try_get("language")?,
        source: word(row.try_get("source")?)?,
        status: word(row.try_get("status")?)?,
        failure,
        version: uint(row.try_get("version")?)?,
        size_bytes: row.try_get::<i64, _>("size_bytes")?.unsigned_abs(),
        sha256: row.try_get("sha256")?,
        chunk_count: uint(row.try_get("chunk_count")?)?,
        metadata: serde_json::from_str(row.try_get("metadata")?).map_err(corrupt)?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub async fn text(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<StoredText>, Error> {
    read!(db, |connection| {
        let row = sqlx::query(sql::TEXT)
            .bind(tenant.as_uuid())
            .bind(id.as_uuid())
            .fetch_optional(connection)
            .await?;
        row.as_ref().map(read_text).transpose()
    })
}

/// Versions as two columns.
pub(super) fn columns(versions: &[(DocumentId, u32)]) -> (Vec<Uuid>, Vec<i32>) {
    versions
        .iter()
        .map(|(id, version)| (*id.as_uuid(), int(*version)))
        .unzip()
}

pub async fn texts(
    db: &Database,
    tenant: TenantId,
    versions: &[(DocumentId, u32)],
) -> Result<Vec<StoredText>, Error> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let (ids, numbers) = columns(versions);
    read!(db, |connection| {
        let rows = sqlx::query(sql::TEXTS)
            .bind(tenant.as_uuid())
            .bind(&ids)
            .bind(&numbers)
            .fetch_all(connection)
            .await?;
        rows.iter().map(read_text).collect()
    })
}

pub async fn pieces(
    db: &Database,
    tenant: TenantId,
    wanted: &[Piece],
) -> Result<Vec<TextPiece>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let offset = |value: usize| i32::try_from(value).unwrap_or(FAR).min(FAR);
    let column = |of: fn(&Piece) -> u32| wanted.iter().map(|it| int(of(it))).collect::<Vec<_>>();
    let numbers = column(|piece| piece.number);
    let ids: Vec<_> = wanted.iter().map(|piece| *piece.id.as_uuid()).collect();
    let versions = column(|piece| piece.version);
    let firsts: Vec<_> = wanted.iter().map(|it| offset(it.start) + 1).collect();
    let lengths: Vec<_> = wanted.iter().map(|it| offset(it.length)).collect();
    read!(db, |connection| {
        let rows = sqlx::query(sql::PIECES)
            .bind(tenant.as_uuid())
            .bind(&numbers)
            .bind(&ids)
            .bind(&versions)
            .bind(&firsts)
            .bind(&lengths)
            .fetch_all(connection)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(TextPiece {
                    number: uint(row.try_get("number")?)?,
                    title: row.try_get("title")?,
                    body: row.try_get("body")?,
                    ends: row.try_get("ends")?,
                })
            })
            .collect()
    })
}

pub(super) fn read_text(row: &PgRow) -> Result<StoredText, Error> {
    Ok(StoredText {
        id: DocumentId::from_uuid(row.try_get("document_id")?),
        version: uint(row.try_get("version")?)?,
        title: row.try_get("title")?,
        body: String::from_utf8(row.try_get("body")?).map_err(corrupt)?,
    })
}

pub async fn original(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<Original>, Error> {
    read!(db, |connection| {
        let row = sqlx::query(sql::ORIGINAL)
            .bind(tenant.as_uuid())
            .bind(id.as_uuid())
            .fetch_optional(connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let body: Vec<u8> = row.try_get("body")?;
        Ok(Some(Original {
            filename: row.try_get("filename")?,
            mime: row.try_get("mime")?,
            body: Bytes::from(body),
            sha256: row.try_get("sha256")?,
        }))
    })
}

pub async fn chunks(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    version: u32,
    from: u32,
    limit: u32,
) -> Result<ChunkList, Error> {
    read!(db, |connection| {
        let rows = sqlx::query(sql::CHUNKS)
            .bind(tenant.as_uuid())
            .bind(id.as_uuid())
            .bind(int(version))
            .bind(int(from))
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await?;
        Ok(ChunkList {
            model: rows
                .first()
                .map(|row| row.try_get("index_model"))
                .transpose()?
                .flatten(),
            chunks: rows.iter().map(read_chunk).collect::<Result<_, Error>>()?,
        })
    })
}

pub(super) fn read_chunk(row: &PgRow) -> Result<NewChunk, Error> {
    let offset = |name| -> Result<usize, Error> {
        usize::try_from(row.try_get::<i32, _>(name)?).map_err(corrupt)
    };
    Ok(NewChunk {
        ordinal: uint(row.try_get("ordinal")?)?,
        span: ByteSpan {
            start: offset("start_byte")?,
            end: offset("end_byte")?,
        },
        heading: row.try_get("heading")?,
    })
}

pub async fn timeline(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Vec<TimelineEntry>, Error> {
    read!(db, |connection| {
        let rows = sqlx::query(sql::TIMELINE)
            .bind(tenant.as_uuid())
            .bind(id.as_uuid())
            .fetch_all(connection)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(TimelineEntry {
                    at: row.try_get("at")?,
                    version: uint(row.try_get("version")?)?,
                    status: word(row.try_get("status")?)?,
                    attempt: uint(row.try_get("attempt")?)?,
                    detail: row.try_get("detail")?,
                })
            })
            .collect()
    })
}

pub async fn dead_letters(
    db: &Database,
    tenant: TenantId,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<Dead>, Error> {
    let after = after.map_or_else(Uuid::max, |id| *id.as_uuid());
    read!(db, |connection| {
        let rows = sqlx::query(sql::DEAD_LETTERS)
            .bind(tenant.as_uuid())
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Dead {
                    id: DocumentId::from_uuid(row.try_get("document_id")?),
                    version: uint(row.try_get("version")?)?,
                    failure: Failure {
                        code: row.try_get("code")?,
                        message: row.try_get("message")?,
                    },
                    attempts: uint(row.try_get("attempts")?)?,
                    at: row.try_get("at")?,
                })
            })
            .collect()
    })
}
