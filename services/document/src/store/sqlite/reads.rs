//! Queries of requests; each names the tenant.

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};
use touchstone_api::document::{Document, Failure as WireFailure, TimelineEntry};
use touchstone_store::sqlite::Database;
use touchstone_store::{decode_id, from_micros, micros};
use touchstone_types::{ByteSpan, DocumentId, TenantId};

use super::blob;
use crate::store::common::{corrupt, word};
use crate::store::{
    ChunkList, Dead, Error, Failure, ListFilter, NewChunk, Original, Piece, StoredText, TextPiece,
};

const DOCUMENT: &str = "SELECT id, filename, title, mime, language, source, status, failure_code, \
     failure_message, version, size_bytes, sha256, chunk_count, metadata, created_at, updated_at \
     FROM documents WHERE deleted_at IS NULL AND tenant_id = ";

pub async fn document(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<Document>, Error> {
    let mut query = QueryBuilder::<Sqlite>::new(DOCUMENT);
    query
        .push_bind(blob(tenant.as_uuid()))
        .push(" AND id = ")
        .push_bind(blob(id.as_uuid()));
    query
        .build()
        .fetch_optional(db.read())
        .await?
        .as_ref()
        .map(read_document)
        .transpose()
}

pub async fn list(
    db: &Database,
    tenant: TenantId,
    filter: &ListFilter,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<Document>, Error> {
    let mut query = QueryBuilder::<Sqlite>::new(DOCUMENT);
    query.push_bind(blob(tenant.as_uuid()));
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(source) = filter.source {
        query.push(" AND source = ").push_bind(source.as_str());
    }
    if let Some(at) = filter.created_after {
        query.push(" AND created_at >= ").push_bind(micros(at));
    }
    if let Some(at) = filter.created_before {
        query.push(" AND created_at < ").push_bind(micros(at));
    }
    if let Some(after) = &after {
        query.push(" AND id < ").push_bind(blob(after.as_uuid()));
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    query
        .build()
        .fetch_all(db.read())
        .await?
        .iter()
        .map(read_document)
        .collect()
}

fn read_document(row: &SqliteRow) -> Result<Document, Error> {
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
        id: decode_id(row.try_get("id")?)?,
        filename: row.try_get("filename")?,
        title: row.try_get("title")?,
        mime: row.try_get("mime")?,
        language: row.try_get("language")?,
        source: word(row.try_get("source")?)?,
        status: word(row.try_get("status")?)?,
        failure,
        version: row.try_get("version")?,
        size_bytes: row.try_get::<i64, _>("size_bytes")?.unsigned_abs(),
        sha256: row.try_get("sha256")?,
        chunk_count: row.try_get("chunk_count")?,
        metadata: serde_json::from_str(row.try_get("metadata")?).map_err(corrupt)?,
        created_at: from_micros(row.try_get("created_at")?),
        updated_at: from_micros(row.try_get("updated_at")?),
    })
}

pub async fn text(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<StoredText>, Error> {
    let row = sqlx::query(
        "SELECT t.document_id, t.version, t.title, t.body FROM documents d \
         JOIN texts t ON t.document_id = d.id AND t.version = d.version \
         WHERE d.tenant_id = ? AND d.id = ? AND d.deleted_at IS NULL",
    )
    .bind(blob(tenant.as_uuid()))
    .bind(blob(id.as_uuid()))
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read_text).transpose()
}

pub async fn texts(
    db: &Database,
    tenant: TenantId,
    versions: &[(DocumentId, u32)],
) -> Result<Vec<StoredText>, Error> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT t.document_id, t.version, t.title, t.body FROM documents d \
         JOIN texts t ON t.document_id = d.id WHERE d.deleted_at IS NULL AND d.tenant_id = ",
    );
    query
        .push_bind(blob(tenant.as_uuid()))
        .push(" AND (t.document_id, t.version) IN (VALUES ");
    let mut list = query.separated(", ");
    for (id, version) in versions {
        list.push("(").push_bind_unseparated(blob(id.as_uuid()));
        list.push_unseparated(", ")
            .push_bind_unseparated(*version)
            .push_unseparated(")");
    }
    query.push(")");
    query
        .build()
        .fetch_all(db.read())
        .await?
        .iter()
        .map(read_text)
        .collect()
}

pub async fn pieces(
    db: &Database,
    tenant: TenantId,
    wanted: &[Piece],
) -> Result<Vec<TextPiece>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let mut query = QueryBuilder::<Sqlite>::new(
        "WITH wanted (number, document_id, version, first, length) AS (VALUES ",
    );
    let mut list = query.separated(", ");
    for piece in wanted {
        list.push("(").push_bind_unseparated(piece.number);
        list.push_unseparated(", ")
            .push_bind_unseparated(blob(piece.id.as_uuid()));
        list.push_unseparated(", ")
            .push_bind_unseparated(piece.version);
        list.push_unseparated(", ")
            .push_bind_unseparated(number(piece.start));
        list.push_unseparated(", ")
            .push_bind_unseparated(number(piece.length));
        list.push_unseparated(")");
    }
    query.push(
        ") SELECT w.number, t.title, substr(CAST(t.body AS BLOB), w.first + 1, w.length) AS body, \
         octet_length(t.body) <= w.first + w.length AS ends FROM wanted w \
         JOIN documents d ON d.id = w.document_id \
         JOIN texts t ON t.document_id = d.id AND t.version = w.version \
         WHERE d.deleted_at IS NULL AND d.tenant_id = ",
    );
    query.push_bind(blob(tenant.as_uuid()));
    let rows = query.build().fetch_all(db.read()).await?;
    rows.iter()
        .map(|row| {
            Ok(TextPiece {
                number: row.try_get("number")?,
                title: row.try_get("title")?,
                body: row.try_get("body")?,
                ends: row.try_get("ends")?,
            })
        })
        .collect()
}

pub(super) fn read_text(row: &SqliteRow) -> Result<StoredText, Error> {
    Ok(StoredText {
        id: decode_id(row.try_get("document_id")?)?,
        version: row.try_get("version")?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
    })
}

pub async fn original(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<Original>, Error> {
    let row = sqlx::query(
        "SELECT o.filename, o.mime, o.body, d.sha256 FROM documents d \
         JOIN originals o ON o.document_id = d.id AND o.version = d.version \
         WHERE d.tenant_id = ? AND d.id = ? AND d.deleted_at IS NULL",
    )
    .bind(blob(tenant.as_uuid()))
    .bind(blob(id.as_uuid()))
    .fetch_optional(db.read())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Some(Original {
        filename: row.try_get("filename")?,
        mime: row.try_get("mime")?,
        body: Bytes::from(body),
        sha256: row.try_get("sha256")?,
    }))
}

pub async fn chunks(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    version: u32,
    from: u32,
    limit: u32,
) -> Result<ChunkList, Error> {
    let rows = sqlx::query(
        "SELECT d.index_model, c.ordinal, c.start_byte, c.end_byte, c.heading FROM documents d \
         JOIN chunks c ON c.document_id = d.id \
         WHERE d.tenant_id = ? AND d.id = ? AND d.deleted_at IS NULL \
         AND c.version = ? AND c.ordinal >= ? ORDER BY c.ordinal LIMIT ?",
    )
    .bind(blob(tenant.as_uuid()))
    .bind(blob(id.as_uuid()))
    .bind(version)
    .bind(from)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    Ok(ChunkList {
        model: rows
            .first()
            .map(|row| row.try_get("index_model"))
            .transpose()?
            .flatten(),
        chunks: rows.iter().map(read_chunk).collect::<Result<_, _>>()?,
    })
}

pub(super) fn read_chunk(row: &SqliteRow) -> Result<NewChunk, Error> {
    let offset = |name| -> Result<usize, Error> {
        usize::try_from(row.try_get::<i64, _>(name)?).map_err(corrupt)
    };
    Ok(NewChunk {
        ordinal: row.try_get("ordinal")?,
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
    let rows = sqlx::query(
        "SELECT t.at, t.version, t.status, t.attempt, t.detail FROM documents d \
         JOIN timeline t ON t.document_id = d.id \
         WHERE d.tenant_id = ? AND d.id = ? AND d.deleted_at IS NULL ORDER BY t.seq",
    )
    .bind(blob(tenant.as_uuid()))
    .bind(blob(id.as_uuid()))
    .fetch_all(db.read())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TimelineEntry {
                at: from_micros(row.try_get("at")?),
                version: row.try_get("version")?,
                status: word(row.try_get("status")?)?,
                attempt: row.try_get("attempt")?,
                detail: row.try_get("detail")?,
            })
        })
        .collect()
}

pub async fn dead_letters(
    db: &Database,
    tenant: TenantId,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<Dead>, Error> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT document_id, version, code, message, attempts, at FROM dead_letters \
         WHERE tenant_id = ",
    );
    query.push_bind(blob(tenant.as_uuid()));
    if let Some(after) = &after {
        query
            .push(" AND document_id < ")
            .push_bind(blob(after.as_uuid()));
    }
    query
        .push(" ORDER BY document_id DESC LIMIT ")
        .push_bind(limit);
    let rows = query.build().fetch_all(db.read()).await?;
    rows.iter()
        .map(|row| {
            Ok(Dead {
                id: decode_id(row.try_get("document_id")?)?,
                version: row.try_get("version")?,
                failure: Failure {
                    code: row.try_get("code")?,
                    message: row.try_get("message")?,
                },
                attempts: row.try_get("attempts")?,
                at: from_micros(row.try_get("at")?),
            })
        })
        .collect()
}
