use touchstone_api::generation::{Citation, MessageRole};
use touchstone_types::MessageId;

use super::Generation;
use crate::error::Error;
use crate::metrics::AnswerLabels;
use crate::store::{NewMessage, Owner, Target};

/// What will be kept of an answer. When it is dropped before its end, because the client left, what
/// was verified so far is kept as incomplete.
pub(super) struct Record {
    service: Generation,
    owner: Owner,
    target: Option<Target>,
    question: String,
    /// Verified text.
    pub text: String,
    /// Citations in it.
    pub citations: Vec<Citation>,
    /// Who writes.
    pub provider: String,
    is_settled: bool,
}

impl Record {
    pub fn new(
        service: Generation,
        owner: Owner,
        target: Option<Target>,
        question: String,
        provider: String,
    ) -> Self {
        Self {
            service,
            owner,
            target,
            question,
            text: String::new(),
            citations: Vec::new(),
            provider,
            is_settled: false,
        }
    }

    /// Keeps question and answer, durably when it returns.
    pub async fn keep(&mut self, complete: bool, outcome: &'static str) -> Result<(), Error> {
        self.settle(outcome);
        let Some(target) = self.target.take() else {
            return Ok(());
        };
        let messages = self.messages(complete);
        store(&self.service, self.owner, &target, &messages).await
    }

    /// Counts how the answer ended; dropping does nothing from now on.
    fn settle(&mut self, outcome: &'static str) {
        self.is_settled = true;
        let labels = AnswerLabels {
            provider: self.provider.clone(),
            outcome,
        };
        self.service
            .inner
            .metrics
            .answers
            .get_or_create(&labels)
            .inc();
    }

    fn messages(&mut self, complete: bool) -> Vec<NewMessage> {
        let ids = &self.service.inner.ids;
        let question = NewMessage {
            id: ids.next::<MessageId>(),
            role: MessageRole::User,
            content: std::mem::take(&mut self.question),
            citations: Vec::new(),
            complete: true,
        };
        let answer = NewMessage {
            id: ids.next::<MessageId>(),
            role: MessageRole::Assistant,
            content: self.text.trim().to_owned(),
            citations: self.citations.clone(),
            complete,
        };
        vec![question, answer]
    }
}

async fn store(
    service: &Generation,
    owner: Owner,
    target: &Target,
    messages: &[NewMessage],
) -> Result<(), Error> {
    let inner = &service.inner;
    let appended = inner
        .store
        .append(owner, target, messages, inner.clock.now())
        .await?;
    if appended {
        Ok(())
    } else {
        Err(Error::UnknownConversation)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        self.settle("abandoned");
        let Some(target) = self.target.take() else {
            return;
        };
        let (service, owner, messages) = (self.service.clone(), self.owner, self.messages(false));
        let life = service.inner.life.clone();
        life.spawn("generation.abandoned", async move {
            if let Err(error) = store(&service, owner, &target, &messages).await {
                let error = touchstone_error::chain(&error);
                tracing::warn!(%error, "cannot keep an abandoned answer");
            }
        });
    }
}
