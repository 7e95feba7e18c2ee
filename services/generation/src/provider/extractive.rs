use async_trait::async_trait;
use futures_util::stream;
use touchstone_text::detect;
use touchstone_types::{ChunkId, DocumentId};
use uuid::Uuid;

use super::{Delta, Deltas, Error, Finish, Provider, Usage};
use crate::domain::abstain;
use crate::domain::extract::{Limits, extract, flatten, write};
use crate::domain::passage::Passage;
use crate::domain::prompt::Prompt;
use crate::domain::tokens::pieces;

/// Answers with the best sentences of the context, word for word; knows no model and no network.
#[derive(Debug)]
pub struct Extractive {
    limits: Limits,
}

impl Extractive {
    /// A provider with these limits.
    pub const fn new(limits: Limits) -> Self {
        Self { limits }
    }

    fn answer(&self, prompt: &Prompt) -> String {
        let question = prompt.question();
        if let Some(grounding) = &prompt.grounding {
            let chosen = extract(question, &grounding.passages, self.limits);
            if chosen.is_empty() {
                return abstain::sentence(question).to_owned();
            }
            return write(&chosen, &grounding.passages);
        }
        let material = [passage_of(prompt.material())];
        let chosen = extract(question, &material, self.limits);
        if chosen.is_empty() {
            return abstain::sentence(question).to_owned();
        }
        let texts = chosen
            .iter()
            .filter_map(|sentence| sentence.span.of(&material[0].text));
        texts.map(flatten).collect::<Vec<_>>().join(" ")
    }
}

/// The material of a plain prompt, as a passage of no document.
fn passage_of(text: String) -> Passage {
    Passage {
        marker: 1,
        document_id: DocumentId::from_uuid(Uuid::nil()),
        chunk_id: ChunkId::from_uuid(Uuid::nil()),
        title: String::new(),
        start: 0,
        language: detect(&text),
        text,
        score: 1.0,
        url: None,
    }
}

#[async_trait]
impl Provider for Extractive {
    fn kind(&self) -> &'static str {
        "extractive"
    }

    fn model(&self) -> &'static str {
        "extractive"
    }

    async fn generate(&self, prompt: Prompt) -> Result<Deltas, Error> {
        let answer = self.answer(&prompt);
        let all = pieces(&answer);
        let most = prompt.max_tokens as usize;
        let finish = if all.len() > most {
            Finish::Length
        } else {
            Finish::Stop
        };
        let mut deltas: Vec<Result<Delta, Error>> = all
            .into_iter()
            .take(most)
            .map(|piece| Ok(Delta::Text(piece.to_owned())))
            .collect();
        let usage = Usage {
            prompt_tokens: prompt.tokens(),
            completion_tokens: u32::try_from(deltas.len()).unwrap_or(u32::MAX),
        };
        deltas.push(Ok(Delta::End { finish, usage }));
        Ok(Box::pin(stream::iter(deltas)))
    }
}
