//! Posts become documents: the consumer behind the outbox.

use std::sync::Arc;

use async_trait::async_trait;
use touchstone_api::document::CreateDocumentRequest;
use touchstone_api::events::{Event, TELEGRAM_POSTS, TelegramPost, TelegramText};
use touchstone_client::{ClientError, DocumentClient};
use touchstone_error::{Classify, ErrorKind};
use touchstone_events::{Consumer, EventBus, Failure, Handler};
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;

use crate::SERVICE;
use crate::metrics::Metrics;
use crate::store::{Mapped, PostKey, Store};

/// The group of consumers.
const GROUP: &str = "telegram.documents";

/// Posts that are worked on at once.
const AT_ONCE: usize = 4;

/// Longest title of a channel in a file name, in letters.
const TITLE: usize = 80;

/// Brings posts to the document service.
pub(crate) struct Documents {
    pub store: Arc<dyn Store>,
    pub client: DocumentClient,
    pub metrics: Metrics,
}

impl Documents {
    /// Subscribes and works until the soft stop.
    pub(crate) async fn start(
        self,
        bus: &dyn EventBus,
        life: &Lifecycle,
    ) -> Result<(), touchstone_events::Error> {
        let consumer = Consumer {
            concurrency: AT_ONCE,
            // Whatever may pass is waited for: a post that was given up would be missing for good.
            attempts: u32::MAX,
            ..Consumer::new(TELEGRAM_POSTS, GROUP)
        };
        consumer.start(bus, Arc::new(self), life).await
    }

    /// Repeating an event changes nothing: the event's id makes the calls repeatable, and the
    /// document's digest says whether it was dealt with.
    async fn bring(&self, event: &Event, post: &TelegramPost) -> Result<(), Failure> {
        let key = PostKey {
            tenant: post.tenant_id,
            channel: post.channel_id,
            message: post.message_id,
        };
        let caller = Caller::service(SERVICE, post.tenant_id);
        let present = self.store.mapped(key).await.map_err(Failure::of)?;
        let once = event.id.to_string();
        let mapped = match (&post.text, present) {
            (None, None) => return Ok(()),
            (Some(text), Some(present)) if text.digest == present.digest => return Ok(()),
            (Some(text), None) => {
                let request = request(post, text);
                let created = self.client.create_once(&caller, &request, &once).await;
                Some((created.map_err(Failure::of)?.id, text))
            }
            (Some(text), Some(present)) => {
                let request = request(post, text);
                let id = present.document;
                match self.client.replace_once(&caller, id, &request, &once).await {
                    Ok(_) => Some((id, text)),
                    // The tenant deleted it; its next edit brings it back.
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(failure(error)),
                }
            }
            (None, Some(present)) => match self.client.delete(&caller, present.document).await {
                Ok(()) => None,
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(failure(error)),
            },
        };
        let mapped = mapped.map(|(document, text)| Mapped {
            document,
            digest: text.digest.clone(),
        });
        self.store
            .map(key, mapped.as_ref())
            .await
            .map_err(Failure::of)?;
        self.metrics.documents.inc();
        Ok(())
    }
}

/// A document that something else works on comes free.
fn failure(error: ClientError) -> Failure {
    if error.kind() == ErrorKind::Conflict {
        Failure::Passing(Box::new(error))
    } else {
        Failure::of(error)
    }
}

fn request(post: &TelegramPost, text: &TelegramText) -> CreateDocumentRequest {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let title: String = text.channel_title.chars().take(TITLE).map(plain).collect();
    let mut metadata = vec![
        ("url", text.url.clone()),
        ("channel", title.clone()),
        ("channel_id", post.channel_id.to_string()),
        ("message_id", post.message_id.to_string()),
        ("date", text.date.clone()),
    ];
    metadata.extend(text.reply_to.map(|number| ("reply_to", number.to_string())));
    CreateDocumentRequest {
        filename: format!("{title} {}.txt", post.message_id),
        content: text.text.clone(),
        mime: Some("text/plain".into()),
        language: None,
        metadata: metadata
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

#[async_trait]
impl Handler for Documents {
    async fn handle(&self, event: &Event) -> Result<(), Failure> {
        let post: TelegramPost = serde_json::from_value(event.payload.clone())
            .map_err(|error| Failure::Lasting(Box::new(error)))?;
        self.bring(event, &post).await
    }

    async fn give_up(&self, _: &Event, _: &Failure) {
        // The consumer logged it; whoever follows the channel finds the post in the channel.
        self.metrics.given_up.inc();
    }
}
