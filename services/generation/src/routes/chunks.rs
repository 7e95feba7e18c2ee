//! Answers in the OpenAI dialect.

use futures_util::{Stream, StreamExt, future, stream};
use serde_json::json;
use touchstone_api::generation::{AskEvent, AskResponse, Citation, Usage};
use touchstone_api::openai::{ChatChoice, ChatDelta, ChatResponse, StreamOptions};
use touchstone_error::Classify;
use touchstone_web::sse::Frame;

use crate::provider::{self, Delta, Finish};
use crate::service::{Plain, wire_usage};

/// What all chunks of an answer share.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Id of the answer.
    pub id: String,
    /// When it began, in seconds.
    pub created: i64,
    /// Its model.
    pub model: String,
}

/// An event of an answer, as far as the dialect knows such.
enum Step {
    Text(String),
    Citation(Citation),
    Usage(Usage),
    End(&'static str),
    Failed { code: String, detail: String },
    Nothing,
}

impl Head {
    /// A whole answer of a provider.
    pub fn plain(&self, plain: Plain) -> ChatResponse {
        let usage = wire_usage(plain.usage);
        self.whole(plain.text, finish_reason(plain.finish), usage, None)
    }

    /// A whole answer through retrieval.
    pub fn asked(&self, answer: AskResponse) -> ChatResponse {
        self.whole(answer.answer, "stop", answer.usage, Some(answer.citations))
    }

    fn whole(
        &self,
        text: String,
        finish: &str,
        usage: Usage,
        citations: Option<Vec<Citation>>,
    ) -> ChatResponse {
        let message = ChatDelta {
            role: Some("assistant".to_owned()),
            content: Some(text),
        };
        let choice = ChatChoice {
            index: 0,
            message: Some(message),
            delta: None,
            finish_reason: Some(finish.to_owned()),
        };
        ChatResponse {
            object: "chat.completion".to_owned(),
            usage: Some(usage),
            citations,
            ..self.response(vec![choice])
        }
    }

    /// The chunks of a provider's answer.
    pub fn plain_frames<S>(
        self,
        deltas: S,
        options: StreamOptions,
    ) -> impl Stream<Item = Frame> + Send + 'static
    where
        S: Stream<Item = Result<Delta, provider::Error>> + Send + 'static,
    {
        let steps = deltas.flat_map(|delta| {
            stream::iter(match delta {
                Ok(Delta::Text(text)) => vec![Step::Text(text)],
                Ok(Delta::End { finish, usage }) => {
                    vec![
                        Step::Usage(wire_usage(usage)),
                        Step::End(finish_reason(finish)),
                    ]
                }
                Err(error) => vec![Step::Failed {
                    code: error.code().to_owned(),
                    detail: error.to_string(),
                }],
            })
        });
        self.frames(steps, options)
    }

    /// The chunks of an answer through retrieval.
    pub fn asked_frames<S>(
        self,
        events: S,
        options: StreamOptions,
    ) -> impl Stream<Item = Frame> + Send + 'static
    where
        S: Stream<Item = AskEvent> + Send + 'static,
    {
        let steps = events.map(|event| match event {
            AskEvent::Token(token) => Step::Text(token.text),
            AskEvent::Citation(citation) => Step::Citation(citation),
            AskEvent::Usage(usage) => Step::Usage(usage),
            AskEvent::Done(_) => Step::End("stop"),
            AskEvent::Error(error) => Step::Failed {
                code: error.code,
                detail: error.detail,
            },
            AskEvent::Retrieval(_) | AskEvent::Verification(_) => Step::Nothing,
        });
        self.frames(steps, options)
    }

    fn frames<S>(
        self,
        steps: S,
        options: StreamOptions,
    ) -> impl Stream<Item = Frame> + Send + 'static
    where
        S: Stream<Item = Step> + Send + 'static,
    {
        let first = ChatDelta {
            role: Some("assistant".to_owned()),
            content: Some(String::new()),
        };
        let first = frame(&self.chunk(first, None));
        let mut citations = Vec::new();
        let mut usage = Usage::default();
        let rest = steps.flat_map(move |step| {
            stream::iter(match step {
                Step::Text(text) => {
                    let delta = ChatDelta {
                        role: None,
                        content: Some(text),
                    };
                    vec![frame(&self.chunk(delta, None))]
                }
                Step::Citation(citation) => {
                    citations.push(citation);
                    Vec::new()
                }
                Step::Usage(counted) => {
                    usage = counted;
                    Vec::new()
                }
                Step::End(reason) => {
                    let mut last = self.chunk(ChatDelta::default(), Some(reason));
                    last.citations = Some(std::mem::take(&mut citations)).filter(|c| !c.is_empty());
                    let mut frames = vec![frame(&last)];
                    if options.include_usage {
                        let counted = ChatResponse {
                            usage: Some(usage),
                            ..self.response(Vec::new())
                        };
                        frames.push(frame(&counted));
                    }
                    frames.push(Frame {
                        event: None,
                        data: "[DONE]".to_owned(),
                    });
                    frames
                }
                Step::Failed { code, detail } => {
                    let error = json!({ "error": {
                        "message": detail, "type": "server_error", "code": code, "param": null
                    }});
                    vec![Frame {
                        event: None,
                        data: error.to_string(),
                    }]
                }
                Step::Nothing => Vec::new(),
            })
        });
        stream::once(future::ready(first)).chain(rest)
    }

    fn chunk(&self, delta: ChatDelta, finish: Option<&str>) -> ChatResponse {
        let choice = ChatChoice {
            index: 0,
            message: None,
            delta: Some(delta),
            finish_reason: finish.map(ToOwned::to_owned),
        };
        self.response(vec![choice])
    }

    fn response(&self, choices: Vec<ChatChoice>) -> ChatResponse {
        ChatResponse {
            id: self.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage: None,
            citations: None,
        }
    }
}

fn frame(chunk: &ChatResponse) -> Frame {
    Frame {
        event: None,
        data: serde_json::to_string(chunk).unwrap_or_default(),
    }
}

const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Filtered => "content_filter",
    }
}
