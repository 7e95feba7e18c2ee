//! Calls to embedding and vector, each with its deadline.

use std::collections::HashSet;

use touchstone_api::embedding::{EmbeddingRequest, EmbeddingResponse};
use touchstone_api::vector::{Filter, UpsertRequest};
use touchstone_client::ClientError;
use touchstone_error::{Classify, ErrorKind};
use touchstone_types::{DocumentId, TenantId};

use super::trouble::{Step, Trouble};
use super::{COLLECTION, Inner, caller};
use crate::store::Failure;

/// Removes every point of documents, and looks that none is left.
pub async fn remove_points(
    inner: &Inner,
    tenant: TenantId,
    ids: &[DocumentId],
) -> Result<(), Trouble> {
    let ids: HashSet<_> = ids.iter().copied().collect();
    let filter = Filter {
        document_ids: Some(ids.into_iter().collect()),
        ..Filter::default()
    };
    let caller = caller(tenant, inner.config.index_deadline);
    let gone = async {
        inner
            .vector
            .delete(&caller, COLLECTION, filter.clone())
            .await?;
        inner.vector.count(&caller, COLLECTION, filter).await
    };
    let left = match tokio::time::timeout(inner.config.index_deadline, gone).await {
        Ok(Ok(left)) => left.count,
        // Without a collection there is no point.
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => 0,
        Ok(Err(error)) => return Err(Trouble::of_call(Step::Index, &error)),
        Err(_) => return Err(Trouble::late(Step::Index)),
    };
    if left == 0 {
        return Ok(());
    }
    Err(Trouble::Attempt(Failure {
        code: "document.points_left".to_owned(),
        message: format!("{left} points are left after their removal"),
    }))
}

pub async fn embed(
    inner: &Inner,
    tenant: TenantId,
    request: &EmbeddingRequest,
) -> Result<EmbeddingResponse, Trouble> {
    let caller = caller(tenant, inner.config.embed_deadline);
    let call = inner.embedding.embed(&caller, request);
    let answer = match tokio::time::timeout(inner.config.embed_deadline, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Trouble::of_call(Step::Embedding, &error)),
        Err(_) => return Err(Trouble::late(Step::Embedding)),
    };
    if answer.items.len() == request.input.len() {
        return Ok(answer);
    }
    Err(Trouble::Attempt(Failure {
        code: "document.embedding_refused".to_owned(),
        message: format!(
            "embedding gave {} vectors for {} chunks",
            answer.items.len(),
            request.input.len()
        ),
    }))
}

pub async fn upsert(
    inner: &Inner,
    tenant: TenantId,
    request: UpsertRequest,
) -> Result<(), Trouble> {
    let caller = caller(tenant, inner.config.index_deadline);
    in_time(
        inner,
        Step::Index,
        inner.vector.upsert(&caller, COLLECTION, &request),
    )
    .await?;
    Ok(())
}

pub async fn in_time<T>(
    inner: &Inner,
    step: Step,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(inner.config.index_deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            if error.kind() == ErrorKind::NotFound {
                inner.wake.forget_collection();
            }
            Err(Trouble::of_call(step, &error))
        }
        Err(_) => Err(Trouble::late(step)),
    }
}
