//! One followed channel: its changes first, then the pages of its history that are missing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grammers_client::tl;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use touchstone_api::telegram::SyncType;
use touchstone_error::chain;

use super::Mirror;
use crate::Error;
use crate::account::CallError;
use crate::chat::{Chat, Entry};
use crate::domain::coverage::Coverage;
use crate::domain::ledger::Row;
use crate::history::{self, Range};
use crate::store::{Channel, Told};

/// Longest time of one exchange, waits of the governor included. A longer wait is waited for while
/// others may read the channel.
const PATIENCE: Duration = Duration::from_secs(30);

/// Changes per difference; what Telegram gives to users.
const CHANGES: i32 = 100;

/// Pages of history between two looks at the changes.
const PAGES: u32 = 10;

/// Pauses after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Works on a channel until it is told to stop.
pub(super) async fn work(
    mirror: Mirror,
    channel: i64,
    wake: Arc<Notify>,
    stop: CancellationToken,
    trouble: Arc<Mutex<Option<String>>>,
) {
    let mut failed = FIRST_PAUSE;
    loop {
        // Whatever is under way may be cut anywhere: what was not stored is read again.
        let Some(done) = stop.run_until_cancelled(mirror.catch_up(channel)).await else {
            return;
        };
        let told = done.as_ref().err().map(|error| chain(error).to_string());
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = told;
        let pause = match done {
            Ok(()) => {
                failed = FIRST_PAUSE;
                mirror.0.poll
            }
            Err(Error::Call(CallError::Flood(wait))) => {
                tracing::debug!(channel.id = channel, "a channel waits for its turn");
                wait
            }
            Err(error) => {
                tracing::warn!(
                    channel.id = channel,
                    error = %chain(&error),
                    "a channel could not be brought up to date"
                );
                let pause = failed;
                failed = (failed * 2).min(LONGEST_PAUSE);
                pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Mirror {
    /// Takes every change, then every page that is missing.
    async fn catch_up(&self, id: i64) -> Result<(), Error> {
        let mut pages = 0_u32;
        let mut behind = true;
        loop {
            let turn = self.turn(id).await;
            let Some(channel) = self.0.store.channel(id).await? else {
                return Ok(());
            };
            if channel.pts == 0 {
                self.newest(&channel).await?;
                behind = false;
            } else if behind || pages.is_multiple_of(PAGES) {
                behind = self.difference(&channel).await?;
            }
            if !behind {
                pages += 1;
                let channel = self.0.store.channel(id).await?.unwrap_or(channel);
                let covered = Coverage::from_intervals(self.0.store.coverage(id).await?);
                match covered.gaps(1, channel.top).pop() {
                    Some(gap) if channel.pts > 0 => self.older(&channel, gap).await?,
                    // Read again from the start, next time.
                    Some(_) => {}
                    None => return Ok(()),
                }
            }
            drop(turn);
        }
    }

    /// The newest page: where following begins.
    async fn newest(&self, channel: &Channel) -> Result<(), Error> {
        let range = Range {
            limit: history::PAGE,
            ..Range::default()
        };
        let page = self.page(channel, range).await?;
        let first = page.entries.first().map_or(0, Entry::id);
        let last = page.entries.last().map_or(1, Entry::id);
        let told = Told {
            // Whatever was known above the newest message is gone.
            truth: Some((last, i32::MAX)),
            covered: vec![(last, first)],
            // 0 means that nothing was read.
            pts: Some(page.pts.max(1)),
            since: Some(channel.pts),
            ..rows(page.entries)
        };
        self.follow_up(channel, told).await
    }

    /// The newest page of a gap.
    async fn older(&self, channel: &Channel, (low, high): (i32, i32)) -> Result<(), Error> {
        let range = Range {
            before: high.saturating_add(1),
            after: low - 1,
            limit: history::PAGE,
        };
        let page = self.page(channel, range).await?;
        // A short page may be followed by another; an empty one says that nothing is left.
        let last = page.entries.last().map_or(low, Entry::id);
        let told = Told {
            truth: Some((last, high)),
            covered: vec![(last, high)],
            since: Some(channel.pts),
            ..rows(page.entries)
        };
        self.follow_up(channel, told).await
    }

    async fn page(&self, channel: &Channel, range: Range) -> Result<history::Page, Error> {
        let deadline = Instant::now() + PATIENCE;
        let chat = Chat::from(channel);
        let read = history::page(&self.0.account, &chat, range, SyncType::Backfill, deadline);
        let page = read.await?;
        self.call_as_now(&chat, page.chat.as_ref()).await?;
        Ok(page)
    }

    /// Remembers how a channel is called now.
    async fn call_as_now(&self, known: &Chat, now: Option<&Chat>) -> Result<(), Error> {
        match now {
            Some(now) if (&now.title, &now.username) != (&known.title, &known.username) => {
                self.meet(now).await
            }
            _ => Ok(()),
        }
    }

    /// What changed since the stored state; true when there is more.
    async fn difference(&self, channel: &Channel) -> Result<bool, Error> {
        use tl::enums::updates::ChannelDifference as Difference;
        let chat = Chat::from(channel);
        let request = tl::functions::updates::GetChannelDifference {
            force: false,
            channel: chat.channel(),
            filter: tl::enums::ChannelMessagesFilter::Empty,
            pts: channel.pts,
            limit: CHANGES,
        };
        let deadline = Instant::now() + PATIENCE;
        let answer = self
            .0
            .account
            .read("updates.getChannelDifference", &request, deadline)
            .await;
        let difference = match answer {
            Ok(Difference::Empty(_)) => return Ok(false),
            Ok(Difference::TooLong(_)) => return self.start_over(channel.id).await,
            Ok(Difference::Difference(difference)) => difference,
            Err(error)
                if error
                    .refusal()
                    .is_some_and(|name| name.starts_with("PERSISTENT_TIMESTAMP")) =>
            {
                return self.start_over(channel.id).await;
            }
            Err(error) => return Err(error.into()),
        };
        let now = chat.now(&difference.chats);
        self.call_as_now(&chat, now.as_ref()).await?;
        let chat = now.unwrap_or(chat);
        let read = |message: &tl::enums::Message| Entry::read(message, &chat, SyncType::Update);
        let mut entries: Vec<Entry> = difference.new_messages.iter().map(read).collect();
        let mut deleted: Vec<i32> = Vec::new();
        for update in &difference.other_updates {
            match update {
                tl::enums::Update::NewChannelMessage(update) => entries.push(read(&update.message)),
                tl::enums::Update::EditChannelMessage(update) => {
                    entries.push(read(&update.message));
                }
                tl::enums::Update::DeleteChannelMessages(update) => {
                    deleted.extend(&update.messages);
                }
                _ => {}
            }
        }
        let mut told = rows(entries);
        told.deleted
            .extend(deleted.into_iter().filter(|id| *id > 0));
        let numbers = told.rows.iter().map(|row| row.id);
        let numbers = numbers.chain(told.deleted.iter().copied());
        told.covered = numbers.map(|id| (id, id)).collect();
        told.pts = Some(difference.pts);
        told.since = Some(channel.pts);
        self.follow_up(channel, told).await?;
        // A state that does not move would be asked for without end.
        Ok(!difference.r#final && difference.pts > channel.pts)
    }

    /// Telegram cannot say what changed: everything is read again, and what is gone is found so.
    async fn start_over(&self, channel: i64) -> Result<bool, Error> {
        tracing::info!(
            channel.id = channel,
            "the changes of a channel are lost; reading it again"
        );
        self.0.metrics.rescans.inc();
        self.0.store.distrust(channel).await?;
        Ok(true)
    }

    async fn follow_up(&self, channel: &Channel, told: Told) -> Result<(), Error> {
        let messages = told.rows.len() as u64;
        self.take(channel, told).await?;
        self.0.metrics.synced.inc_by(messages);
        Ok(())
    }

    /// Stores what was told of a channel, and sends the events that came of it.
    pub(crate) async fn take(&self, channel: &Channel, told: Told) -> Result<(), Error> {
        for told in told.pieces(channel.top) {
            let store = &self.0.store;
            let events = store.apply(channel.id, &told, &self.stamp()).await?;
            if events > 0 {
                self.0.waker.wake();
            }
        }
        Ok(())
    }
}

/// Messages as rows; empty ones are gone. Numbers begin at 1.
pub(crate) fn rows(entries: Vec<Entry>) -> Told {
    let mut told = Told::default();
    for entry in entries.into_iter().filter(|entry| entry.id() > 0) {
        match entry {
            Entry::Post(posted) => {
                let row = Row::post(posted.post, posted.grouped_id, posted.edited_at);
                told.rows.push(row);
            }
            Entry::Service(id) => told.rows.push(Row::service(id)),
            Entry::Empty(id) => told.deleted.push(id),
        }
    }
    told
}
