use touchstone_api::generation::{
    AskRequest, Message, MessageRole, RetrievalSummary, RetrievedPassage,
};
use touchstone_api::retrieval::{ContextPassage, Hit, SearchFilter, SearchRequest, SearchResponse};
use touchstone_identity::Caller;
use touchstone_text::{Language, words};

use super::Generation;
use crate::config::Release;
use crate::domain::passage::Passage;
use crate::domain::prompt::{Budget, Prompt, Speaker, Turn};
use crate::error::Error;
use crate::provider::Entry;
use crate::store::{Owner, Target};

/// Longest question, in characters.
const MAX_QUESTION_CHARS: usize = 2_000;
/// Longest title of a conversation, in characters.
const MAX_TITLE_CHARS: usize = 80;

/// An answer that can begin: the question, its passages, and who writes.
#[derive(Debug)]
pub struct Prepared {
    /// The question.
    pub question: String,
    /// Whose it is.
    pub owner: Owner,
    /// Where question and answer are kept; `None` keeps nothing.
    pub target: Option<Target>,
    /// Who writes.
    pub provider: Entry,
    /// What the answer may rest on.
    pub passages: Vec<Passage>,
    /// What the provider is asked.
    pub prompt: Prompt,
    /// What retrieval did.
    pub summary: RetrievalSummary,
    /// Parts that were missing.
    pub degraded: Vec<String>,
    /// When pieces are sent.
    pub release: Release,
}

/// What varies between the ways to ask.
#[derive(Debug, Default)]
pub struct Wish<'a> {
    /// Passages.
    pub limit: Option<usize>,
    /// Narrows the search.
    pub filter: Option<SearchFilter>,
    /// Provider by name.
    pub provider: Option<&'a str>,
    /// Most tokens.
    pub max_tokens: Option<u32>,
    /// Passed on.
    pub temperature: Option<f32>,
}

impl Generation {
    /// Checks a request, reads its conversation and searches.
    pub async fn prepare(&self, caller: &Caller, request: AskRequest) -> Result<Prepared, Error> {
        if request
            .limit
            .is_some_and(|limit| !(1..=20).contains(&limit))
        {
            return Err(Error::Invalid {
                field: "limit",
                reason: "must be from 1 to 20",
            });
        }
        let question = check_question(&request.question, "question")?;
        let owner = Owner::from(caller);
        let (target, history) = match request.conversation_id {
            None => (
                Target::New(self.inner.ids.next(), title(&question)),
                Vec::new(),
            ),
            Some(id) => {
                let target = Target::Existing(id);
                let history = self.history(owner, &target).await?;
                (target, history)
            }
        };
        let wish = Wish {
            limit: request.limit,
            filter: request.filter,
            provider: request.provider.as_deref(),
            ..Wish::default()
        };
        let mut prepared = self.prepare_with(caller, question, &history, wish).await?;
        prepared.target = Some(target);
        Ok(prepared)
    }

    /// As [`Generation::prepare`], with the conversation given and nothing kept.
    pub async fn prepare_with(
        &self,
        caller: &Caller,
        question: String,
        history: &[Turn],
        wish: Wish<'_>,
    ) -> Result<Prepared, Error> {
        let provider = self.provider(wish.provider)?;
        let config = &self.inner.config;
        let found = self.search(caller, &question, &wish).await?;
        let passages = passages(&found);
        let budget = Budget {
            context_chars: config.prompt.context_chars,
            history_turns: config.prompt.history_messages,
            history_chars: config.prompt.history_chars,
            max_tokens: wish.max_tokens.unwrap_or(config.prompt.max_tokens),
        };
        let prompt = Prompt::grounded(&question, passages, history, wish.temperature, budget);
        let passages: Vec<Passage> = prompt
            .grounding
            .as_ref()
            .map(|g| g.passages.clone())
            .unwrap_or_default();
        Ok(Prepared {
            question,
            owner: Owner::from(caller),
            target: None,
            provider,
            summary: summary(&found, &passages),
            passages,
            prompt,
            degraded: found.degraded,
            release: config.release,
        })
    }

    async fn search(
        &self,
        caller: &Caller,
        question: &str,
        wish: &Wish<'_>,
    ) -> Result<SearchResponse, Error> {
        // What has no words finds nothing.
        if words(question).next().is_none() {
            return Ok(nothing());
        }
        let prompt = &self.inner.config.prompt;
        let request = SearchRequest {
            query: question.to_owned(),
            limit: Some(wish.limit.unwrap_or(prompt.passages)),
            filter: wish.filter.clone(),
            context_chars: Some(prompt.context_chars),
            ..SearchRequest::default()
        };
        self.inner
            .retrieval
            .search(caller, &request)
            .await
            .map_err(Error::Retrieval)
    }

    /// The last turns of a conversation, which must be the owner's.
    async fn history(&self, owner: Owner, target: &Target) -> Result<Vec<Turn>, Error> {
        let (store, id) = (&self.inner.store, target.id());
        let conversation = store
            .get(owner, id)
            .await?
            .ok_or(Error::UnknownConversation)?;
        let wanted = u32::try_from(self.inner.config.prompt.history_messages).unwrap_or(u32::MAX);
        let after = conversation.message_count.saturating_sub(wanted);
        let messages = store.messages(owner, id, after, wanted).await?;
        Ok(messages
            .ok_or(Error::UnknownConversation)?
            .into_iter()
            .map(turn)
            .collect())
    }
}

/// A question that can be asked.
pub fn check_question(question: &str, field: &'static str) -> Result<String, Error> {
    let chars = question.chars().count();
    if chars == 0 || chars > MAX_QUESTION_CHARS {
        return Err(Error::Invalid {
            field,
            reason: "must have 1 to 2,000 characters",
        });
    }
    Ok(question.replace('\0', " ").trim().to_owned())
}

fn title(question: &str) -> String {
    let flat = question.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= MAX_TITLE_CHARS {
        return flat;
    }
    let mut short: String = flat.chars().take(MAX_TITLE_CHARS - 1).collect();
    short.push('…');
    short
}

fn turn(message: Message) -> Turn {
    let speaker = match message.role {
        MessageRole::User => Speaker::User,
        MessageRole::Assistant => Speaker::Assistant,
    };
    Turn::new(speaker, message.content)
}

/// The context as passages; the hits where there is no context.
fn passages(found: &SearchResponse) -> Vec<Passage> {
    if found.context.is_empty() {
        return found
            .hits
            .iter()
            .enumerate()
            .map(|(at, hit)| of_hit(at + 1, hit))
            .collect();
    }
    found.context.iter().map(of_context).collect()
}

fn of_context(passage: &ContextPassage) -> Passage {
    Passage {
        marker: passage.marker,
        document_id: passage.document_id,
        chunk_id: passage.chunk_id,
        title: passage.title.clone(),
        start: passage.start,
        text: passage.text.clone(),
        language: Language::from_code(&passage.language),
        score: passage.score,
        url: passage.metadata.get("url").cloned(),
    }
}

fn of_hit(marker: usize, hit: &Hit) -> Passage {
    Passage {
        marker,
        document_id: hit.document_id,
        chunk_id: hit.chunk_id,
        title: hit.title.clone(),
        start: hit.start,
        text: hit.text.clone(),
        language: Language::from_code(&hit.language),
        score: hit.score,
        url: hit.metadata.get("url").cloned(),
    }
}

fn summary(found: &SearchResponse, passages: &[Passage]) -> RetrievalSummary {
    let passages = passages.iter().map(|passage| RetrievedPassage {
        marker: passage.marker,
        document_id: passage.document_id,
        chunk_id: passage.chunk_id,
        title: passage.title.clone(),
        start: passage.start,
        end: passage.start + passage.text.len(),
        text: passage.text.clone(),
        score: passage.score,
    });
    RetrievalSummary {
        passages: passages.collect(),
        signals: found.signals.clone(),
        dense_model: found.dense_model.clone(),
        confidence: found.confidence,
    }
}

fn nothing() -> SearchResponse {
    SearchResponse {
        hits: Vec::new(),
        context: Vec::new(),
        signals: Vec::new(),
        dense_model: None,
        confidence: 0.0,
        degraded: Vec::new(),
        explain: None,
    }
}
