use std::process::ExitCode;

use futures_util::{Stream, StreamExt};
use touchstone_api::generation::{AskEvent, AskRequest, AskResponse, Citation};

use super::api::Api;
use super::args::{AskArgs, Cli};
use super::out::Out;

pub(crate) async fn run(args: &AskArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let api = Api::connect(&args.target, cli).await?;
    let request = AskRequest {
        question: args.question.clone(),
        provider: args.provider.clone(),
        limit: args.limit.map(usize::from),
        ..AskRequest::default()
    };
    if args.stream {
        stream(&api, &request, out).await?;
    } else {
        let response: AskResponse = api.post("/ask", &request).await?;
        if out.is_json() {
            out.value(&response)?;
        } else {
            print_answer(&response, out);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Streams an answer to the terminal, or as a JSON line per event.
pub(crate) async fn stream(api: &Api, request: &AskRequest, out: Out) -> anyhow::Result<()> {
    let events = api.ask_stream(request).await?;
    print_events(events, out).await
}

async fn print_events(
    events: impl Stream<Item = anyhow::Result<AskEvent>>,
    out: Out,
) -> anyhow::Result<()> {
    let mut events = std::pin::pin!(events);
    let (mut written, mut citations) = (String::new(), Vec::new());
    while let Some(event) = events.next().await {
        let event = event?;
        if out.is_json() {
            out.value(&event)?;
            continue;
        }
        match event {
            AskEvent::Token(token) => {
                out.piece(&token.text);
                written.push_str(&token.text);
            }
            AskEvent::Citation(citation) => citations.push(citation),
            AskEvent::Done(done) => {
                out.line("");
                if done.answer.trim() != written.trim() {
                    out.line(out.dim("after verification:"));
                    out.line(&done.answer);
                }
                print_citations(&citations, out);
                print_degraded(&done.degraded, out);
            }
            AskEvent::Error(error) => {
                out.line("");
                anyhow::bail!("{} ({})", error.detail, error.code);
            }
            AskEvent::Retrieval(_) | AskEvent::Verification(_) | AskEvent::Usage(_) => {}
        }
    }
    Ok(())
}

/// Prints an answer with its citations.
pub(crate) fn print_answer(response: &AskResponse, out: Out) {
    out.line(&response.answer);
    print_citations(&response.citations, out);
    print_degraded(&response.degraded, out);
}

fn print_citations(citations: &[Citation], out: Out) {
    for citation in citations {
        let Citation {
            marker,
            title,
            start,
            end,
            quote,
            verdict,
            ..
        } = citation;
        out.line(format!(
            "  {} {} {}",
            out.bold(&format!("[{marker}]")),
            title,
            out.dim(&format!("bytes {start}..{end}, {verdict}"))
        ));
        out.line(format!(
            "      {}",
            out.green(&format!("“{}”", one_line(quote)))
        ));
    }
}

fn print_degraded(degraded: &[String], out: Out) {
    if !degraded.is_empty() {
        out.note(format!("degraded: {}", degraded.join(", ")));
    }
}

/// A text on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
