use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use http::Method;
use touchstone_api::Health;
use touchstone_api::document::{ReindexRequest, ReindexResponse};
use touchstone_client::ServiceClient;
use touchstone_identity::Caller;

use super::api::Api;
use super::args::{Cli, Target};
use super::out::Out;
use crate::{Plan, Settings, Stack};

/// Pause between two looks at the queue.
const POLL: Duration = Duration::from_millis(200);

pub(crate) async fn run(target: &Target, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let answer = if Api::anonymous(&target.url)?.answers().await {
        let api = Api::connect(target, cli).await?;
        let answer: ReindexResponse = api
            .post(
                "/documents/reindex",
                &ReindexRequest {
                    collection_reset: false,
                },
            )
            .await?;
        out.note("queued; `GET /documents` shows how far they are");
        answer
    } else {
        out.note(format!(
            "no stack answers at {}; working on the data directory",
            target.url
        ));
        let settings = Settings::load(&cli.loader(&cli.up)?)?;
        let stack = Stack::start(settings, Plan::in_process()).await?;
        let result = everything(&stack).await;
        stack.stop().await;
        result?
    };
    if out.is_json() {
        out.value(&answer)?;
    } else {
        out.line(format!("{} documents", answer.documents));
    }
    Ok(ExitCode::SUCCESS)
}

/// Drops the collection, queues every document of every tenant and waits until the queue is empty.
async fn everything(stack: &Stack) -> anyhow::Result<ReindexResponse> {
    let document = ServiceClient::new(stack.common().mesh.clone(), "stack", "document");
    let caller = Caller::service("stack", stack.common().ids.next());
    let request = ReindexRequest {
        collection_reset: true,
    };
    let answer: ReindexResponse = document
        .call(&caller, Method::POST, "/documents/reindex", Some(&request))
        .await?;
    loop {
        let health: Health = document
            .call(&caller, Method::GET, "/health", None::<&()>)
            .await?;
        let queued = health
            .details
            .get("queue_depth")
            .and_then(serde_json::Value::as_u64);
        if queued.context("document does not tell its queue")? == 0 {
            return Ok(answer);
        }
        tokio::time::sleep(POLL).await;
    }
}
