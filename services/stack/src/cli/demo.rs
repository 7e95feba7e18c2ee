use std::process::ExitCode;

use anyhow::Context;
use touchstone_api::auth::{LoginRequest, TokenResponse};
use touchstone_api::document::{AcceptedDocument, CreateDocumentRequest};
use touchstone_api::generation::AskRequest;
use touchstone_config::Loader;

use super::api::Api;
use super::args::{Cli, Target};
use super::ask;
use super::ingest::wait_until_settled;
use super::out::Out;
use crate::demo::QUESTIONS;
use crate::{Plan, Service, Settings, Stack};

/// The document that the demo uploads.
const FILENAME: &str = "kestrel.md";
const TEXT: &str = "# The research ship Kestrel\n\nThe Kestrel was launched on 2 March 1998 and is \
    64 metres long. Her captain is Jonas Ahlberg. She carries nine scientists and maps the sea \
    floor with a sonar that reaches 7,000 metres.\n";
const QUESTION: &str = "Who is the captain of the Kestrel?";

/// Walks the golden path on the stack at the target, or on one of its own in a temporary folder.
pub(crate) async fn run(target: &Target, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    if Api::anonymous(&target.url)?.answers().await {
        let api = Api::connect(target, cli).await?;
        out.note(format!("using the stack at {}", target.url));
        walk(&api, out).await?;
        return Ok(ExitCode::SUCCESS);
    }
    out.note(format!(
        "no stack answers at {}; starting one in a temporary folder",
        target.url
    ));
    let folder = tempfile::tempdir()?;
    let mut loader = Loader::new().set("stack.data_dir", folder.path().display().to_string());
    for service in Service::ALL {
        loader = loader.set(format!("stack.ports.{service}"), "0");
    }
    let stack = Stack::start(Settings::load(&loader)?, Plan::everything()).await?;
    let result = on_own_stack(&stack, out).await;
    stack.stop().await;
    result.map(|()| ExitCode::SUCCESS)
}

async fn on_own_stack(stack: &Stack, out: Out) -> anyhow::Result<()> {
    let credentials = stack
        .seed()
        .await?
        .context("the temporary stack is not new")?;
    let address = stack
        .address(Service::Gateway)
        .context("the gateway does not listen")?;
    let api = Api::anonymous(&format!("http://{address}"))?;
    step(out, &format!("Log in as {}", credentials.email));
    let request = LoginRequest {
        email: credentials.email,
        password: credentials.password,
    };
    let tokens: TokenResponse = api.post("/auth/login", &request).await?;
    walk(&api.with_credential(tokens.access_token), out).await
}

async fn walk(api: &Api, out: Out) -> anyhow::Result<()> {
    step(out, &format!("Upload {FILENAME}"));
    let request = CreateDocumentRequest {
        filename: FILENAME.into(),
        content: TEXT.into(),
        mime: None,
        language: None,
        metadata: std::collections::BTreeMap::default(),
    };
    let accepted: AcceptedDocument = api.post("/documents", &request).await?;
    step(out, "Wait until it is indexed");
    let document = wait_until_settled(api, accepted.id).await?;
    if let Some(failure) = document.failure {
        anyhow::bail!("{} ({})", failure.message, failure.code);
    }
    if out.is_json() {
        out.value(&document)?;
    } else {
        out.line(format!(
            "{}: {} chunk(s), {}",
            document.title, document.chunk_count, document.status
        ));
    }
    for question in [QUESTION, QUESTIONS[0], QUESTIONS[1]] {
        step(out, &format!("Ask: {question}"));
        let request = AskRequest {
            question: question.into(),
            ..AskRequest::default()
        };
        ask::stream(api, &request, out).await?;
    }
    step(
        out,
        "Every quote above stands byte for byte at the offsets beside it.",
    );
    Ok(())
}

fn step(out: Out, text: &str) {
    if out.is_json() {
        out.note(text);
    } else {
        out.line(format!("\n{} {}", out.bold("▸"), out.bold(text)));
    }
}
