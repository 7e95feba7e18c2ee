//! List, look at, load and unload models.

use axum::extract::State;
use touchstone_api::Problem as WireProblem;
use touchstone_api::model::{Model, ModelList};
use touchstone_web::responses::{CallerErrors, ConflictErrors, IdErrors};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::service::Models;

/// Every known model with its state.
#[utoipa::path(get, path = "/models", tag = "model",
    responses((status = 200, body = ModelList), CallerErrors))]
#[tracing::instrument(name = "model.list", skip_all)]
pub async fn list(State(models): State<Models>, _: Caller) -> AppJson<ModelList> {
    AppJson(ModelList {
        items: models.list().await,
    })
}

/// One model with its state.
#[utoipa::path(get, path = "/models/{id}", tag = "model",
    params(("id" = String, Path, description = "Id of the model")),
    responses((status = 200, body = Model), CallerErrors, IdErrors))]
#[tracing::instrument(name = "model.get", skip_all, fields(model.id = id))]
pub async fn get(
    State(models): State<Models>,
    _: Caller,
    AppPath(id): AppPath<String>,
) -> Result<AppJson<Model>, Problem> {
    Ok(AppJson(models.get(&id).await?))
}

/// Loads a model into memory and answers when it is there.
#[utoipa::path(post, path = "/models/{id}/load", tag = "model",
    params(("id" = String, Path, description = "Id of the model")),
    responses((status = 200, body = Model), CallerErrors, IdErrors, ConflictErrors,
        (status = 422, description = "The model's files cannot be used", body = WireProblem,
            content_type = "application/problem+json")))]
#[tracing::instrument(name = "model.load", skip_all, fields(model.id = id))]
pub async fn load(
    State(models): State<Models>,
    Caller(caller): Caller,
    AppPath(id): AppPath<String>,
) -> Result<AppJson<Model>, Problem> {
    Ok(AppJson(models.load(&caller, &id).await?))
}

/// Takes a model out of memory.
#[utoipa::path(post, path = "/models/{id}/unload", tag = "model",
    params(("id" = String, Path, description = "Id of the model")),
    responses((status = 200, body = Model), CallerErrors, IdErrors, ConflictErrors))]
#[tracing::instrument(name = "model.unload", skip_all, fields(model.id = id))]
pub async fn unload(
    State(models): State<Models>,
    Caller(caller): Caller,
    AppPath(id): AppPath<String>,
) -> Result<AppJson<Model>, Problem> {
    Ok(AppJson(models.unload(&caller, &id).await?))
}
