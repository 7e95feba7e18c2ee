//! The service behind the routes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use touchstone_api::telegram::{Parsed, Post, SyncType};
use touchstone_identity::Caller;
use touchstone_types::{Clock, TenantId};

use crate::Error;
use crate::account::{Account, State};
use crate::chat::{Chat, Entry};
use crate::domain::target::{Target, Username};
use crate::exports::Exports;
use crate::history::{self, Range};
use crate::metrics::Metrics;
use crate::mirror::{self, Mirror};
use crate::store::{Channel, Told};

/// Channels that are remembered.
const KNOWN: usize = 10_000;

/// Pages that are stored together: a commit waits for the disk, whatever it holds.
const TOGETHER: usize = 25;

/// How long pages are read at a stretch: whoever else wants to read the channel waits no longer.
const QUICKLY: Duration = Duration::from_millis(250);

/// Most posts of one request.
pub(crate) const MOST_POSTS: u32 = 10_000;

/// The service; clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Telegram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    account: Account,
    exports: Exports,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    timeout: Duration,
    /// Whether the data centre is the simulated one.
    simulated: bool,
    mirror: Mirror,
    known: Mutex<HashMap<i64, Chat>>,
}

/// Pages that are stored together.
struct Batch {
    posts: Vec<Post>,
    told: Told,
    /// The number to go on before; `None` where the channel begins.
    next: Option<i32>,
}

impl Telegram {
    pub(crate) fn new(
        account: Account,
        exports: Exports,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        timeout: Duration,
        simulated: bool,
        mirror: Mirror,
    ) -> Self {
        Self(Arc::new(Inner {
            account,
            exports,
            clock,
            metrics,
            timeout,
            simulated,
            mirror,
            known: Mutex::default(),
        }))
    }

    pub(crate) fn account(&self) -> &Account {
        &self.0.account
    }

    pub(crate) fn mirror(&self) -> &Mirror {
        &self.0.mirror
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.0.exports
    }

    /// Whether the data centre is the simulated one.
    pub fn is_simulated(&self) -> bool {
        self.0.simulated
    }

    /// How the account stands.
    pub fn state(&self) -> State {
        self.0.account.state()
    }

    /// When a request has to be answered.
    pub(crate) fn deadline(&self, caller: &Caller) -> Instant {
        let left = caller.context.remaining().unwrap_or(self.0.timeout);
        Instant::now() + left.min(self.0.timeout)
    }

    pub(crate) fn remember(&self, chat: &Chat) {
        let mut known = self.known();
        if known.len() >= KNOWN && !known.contains_key(&chat.id) {
            known.clear();
        }
        known.insert(chat.id, chat.clone());
    }

    pub(crate) fn known_id(&self, id: i64) -> Option<Chat> {
        self.known().get(&id).cloned()
    }

    pub(crate) fn known_name(&self, name: &Username) -> Option<Chat> {
        let has = |chat: &&Chat| {
            let own = chat.username.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(name.as_str()))
        };
        self.known().values().find(has).cloned()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<i64, Chat>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the newest posts of a channel and writes both exports.
    pub(crate) async fn parse(
        &self,
        name: &str,
        limit: u32,
        tenant: TenantId,
        deadline: Instant,
    ) -> Result<Parsed, Error> {
        if !(1..=MOST_POSTS).contains(&limit) {
            let rule = format!("`limit` must be from 1 to {MOST_POSTS}");
            return Err(Error::Invalid(rule));
        }
        let target = Target::parse(name)?;
        let chat = self.find(&target, deadline).await?;
        let channel = match &target {
            Target::Name(name) => name.as_str().to_owned(),
            Target::Invite(_) => chat.username.clone().unwrap_or_else(|| chat.id.to_string()),
        };
        let (limit, mut before) = (limit as usize, 0);
        let mut export = self.0.exports.begin(&channel, self.0.clock.now(), limit)?;
        let mut posts = Vec::new();
        self.mirror().meet(&chat).await?;
        while posts.len() < limit {
            let most = limit - posts.len();
            let (last, read) = self.pages(&chat, before, most, deadline).await?;
            export.push(&read)?;
            posts.extend(read);
            let Some(last) = last else { break };
            before = last;
        }
        // Told when all of it is here: every album is whole then.
        let numbers = posts.last().zip(posts.first());
        if let Some((oldest, newest)) = numbers {
            let numbers = (oldest.message_id, newest.message_id);
            self.mirror().want(chat.id, tenant, numbers).await?;
        }
        let files = tokio::task::spawn_blocking(move || export.finish())
            .await
            .map_err(std::io::Error::other)??;
        self.0.metrics.posts.inc_by(posts.len() as u64);
        Ok(Parsed {
            total_parsed: posts.len(),
            posts,
            channel,
            files,
        })
    }

    /// Reads pages before a number and stores what they tell, each batch while the next one is read:
    /// as long as they come quickly, until there are `most` posts. The number to go on before, `None`
    /// where the channel begins.
    async fn pages(
        &self,
        chat: &Chat,
        before: i32,
        most: usize,
        deadline: Instant,
    ) -> Result<(Option<i32>, Vec<Post>), Error> {
        let _turn = self.mirror().turn(chat.id).await;
        let store = self.mirror().store();
        let channel = store.channel(chat.id).await?;
        let channel = channel.ok_or(Error::UnknownChannel(chat.id.to_string()))?;
        let started = Instant::now();
        let (mut next, mut posts) = (Some(before), Vec::new());
        let mut unkept = Told::default();
        loop {
            let wanted = most.saturating_sub(posts.len());
            let on = next.filter(|_| wanted > 0 && started.elapsed() < QUICKLY);
            let reading = async {
                match on {
                    Some(before) => {
                        let batch = self.batch(chat, before, wanted, started, deadline);
                        batch.await.map(Some)
                    }
                    None => Ok(None),
                }
            };
            let (read, kept) = tokio::join!(reading, self.keep(&channel, unkept));
            kept?;
            let Some(batch) = read? else {
                return Ok((next, posts));
            };
            next = batch.next;
            posts.extend(batch.posts);
            unkept = batch.told;
        }
    }

    /// Reads pages before a number until there are `most` posts, and at most as many as are stored
    /// together.
    async fn batch(
        &self,
        chat: &Chat,
        before: i32,
        most: usize,
        started: Instant,
        deadline: Instant,
    ) -> Result<Batch, Error> {
        let (mut entries, mut posts) = (Vec::new(), 0);
        let mut next = Some(before);
        for _ in 0..TOGETHER {
            let range = Range {
                before: next.unwrap_or_default(),
                after: 0,
                limit: history::PAGE,
            };
            let read = history::page(self.account(), chat, range, SyncType::Realtime, deadline);
            let page = self.known_by(read.await?);
            next = page.last().map(Entry::id);
            posts += page.iter().filter(|entry| entry.is_post()).count();
            entries.extend(page);
            if next.is_none() || posts >= most || started.elapsed() > QUICKLY {
                break;
            }
        }
        let newest = if before == 0 { i32::MAX } else { before - 1 };
        let truth = entries.last().map(|oldest| (oldest.id(), newest));
        let read = entries.iter().filter_map(Entry::post).take(most);
        Ok(Batch {
            posts: read.cloned().collect(),
            told: Told {
                truth,
                ..mirror::rows(entries)
            },
            next,
        })
    }

    async fn keep(&self, channel: &Channel, told: Told) -> Result<(), Error> {
        if told.truth.is_none() {
            return Ok(());
        }
        // An instance that lost the account meanwhile knows no more than the one that has it.
        let told = Told {
            since: Some(channel.pts),
            ..told
        };
        self.mirror().take(channel, told).await
    }

    /// The entries of a page; its channel is known as it is called there.
    fn known_by(&self, page: history::Page) -> Vec<Entry> {
        if let Some(chat) = &page.chat {
            self.remember(chat);
        }
        page.entries
    }

    /// Posts of a channel between two numbers, newest first.
    pub(crate) async fn messages(
        &self,
        id: i64,
        before: i32,
        after: i32,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Post>, Error> {
        let chat = self.by_id(id, deadline).await?;
        let (mut posts, mut before) = (Vec::new(), before);
        while posts.len() < limit {
            let range = Range {
                before,
                after,
                limit: history::PAGE,
            };
            let read = history::page(self.account(), &chat, range, SyncType::Realtime, deadline);
            let page = self.known_by(read.await?);
            let Some(last) = page.last() else {
                break;
            };
            before = last.id();
            posts.extend(page.into_iter().filter_map(Entry::into_post));
        }
        posts.truncate(limit);
        Ok(posts)
    }
}
