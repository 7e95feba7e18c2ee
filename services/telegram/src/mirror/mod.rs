//! Keeping channels in step: each followed channel has a worker that reads its history once and its
//! changes from there on.
//!
//! What Telegram pushes is only a hint to look: the worker asks for the difference since the state
//! that it stored, so that an update that was lost, came twice or in the wrong order costs a look
//! and never a post. When Telegram says that the difference is too long, or that it does not know
//! the state, the whole channel is read again.

mod channel;
pub(crate) mod documents;
mod hints;
mod wanted;

pub(crate) use channel::rows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;
use touchstone_error::chain;
use touchstone_events::Waker;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, IdSource, TenantId};

use crate::Error;
use crate::account::{Account, Hint};
use crate::chat::Chat;
use crate::metrics::Metrics;
use crate::store::{Channel, Stamp, Store};

/// Keeps channels in step; clones are handles of the same one.
#[derive(Clone, Debug)]
pub(crate) struct Mirror(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    account: Account,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    waker: Waker,
    metrics: Metrics,
    life: Lifecycle,
    /// How often a channel is looked at without a hint.
    poll: Duration,
    workers: Mutex<HashMap<i64, Worker>>,
    /// Held while a channel gets its worker or loses it: by what the store says then, so that who comes
    /// while another one goes is not forgotten.
    staff: AsyncMutex<()>,
    /// Somebody wants to be told of posts.
    wanted: Notify,
    /// One reader at a time per channel: what was read is stored before anybody reads again, so
    /// that an older truth never overwrites a newer one.
    locks: Mutex<HashMap<i64, Arc<AsyncMutex<()>>>>,
}

#[derive(Debug)]
struct Worker {
    wake: Arc<Notify>,
    stop: CancellationToken,
    trouble: Arc<Mutex<Option<String>>>,
}

/// What the workers work with.
pub(crate) struct Parts {
    pub account: Account,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub ids: IdSource,
    pub waker: Waker,
    pub metrics: Metrics,
    pub poll: Duration,
    /// Whether the bus forgets what it took when the process ends.
    pub forgetful: bool,
}

impl Mirror {
    /// Takes up what was followed before, and listens to hints.
    pub(crate) async fn start(
        parts: Parts,
        hints: mpsc::UnboundedReceiver<Hint>,
        life: &Lifecycle,
    ) -> Result<Self, touchstone_store::Error> {
        let mirror = Self(Arc::new(Inner {
            account: parts.account,
            store: parts.store,
            clock: parts.clock,
            ids: parts.ids,
            waker: parts.waker,
            metrics: parts.metrics,
            life: life.clone(),
            poll: parts.poll,
            workers: Mutex::default(),
            staff: AsyncMutex::default(),
            wanted: Notify::new(),
            locks: Mutex::default(),
        }));
        mirror.take_up().await?;
        life.spawn("telegram.followed", mirror.clone().look_after());
        life.spawn("telegram.hints", mirror.clone().listen(hints));
        life.spawn("telegram.wanted", mirror.clone().tell(parts.forgetful));
        Ok(mirror)
    }

    /// Works on whatever is followed and nobody works on.
    async fn take_up(&self) -> Result<(), touchstone_store::Error> {
        for channel in self.0.store.followed().await? {
            let has_one = self.workers().contains_key(&channel.id);
            if !has_one {
                self.attend(channel.id).await?;
            }
        }
        Ok(())
    }

    /// Takes up what nobody works on: another instance was asked to follow it, or a request was cut off.
    async fn look_after(self) {
        let stop = self.0.life.soft_stop();
        let pause = || stop.run_until_cancelled(tokio::time::sleep(self.0.poll));
        while pause().await.is_some() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.take_up()).await {
                tracing::warn!(error = %chain(&error), "the followed channels cannot be read");
            }
        }
    }

    /// Lets a tenant follow a channel; false when it did already.
    pub(crate) async fn follow(&self, chat: &Chat, tenant: TenantId) -> Result<bool, Error> {
        self.meet(chat).await?;
        let now = self.0.clock.now();
        let fresh = self.0.store.follow(chat.id, tenant, now).await?;
        // What others' following brought is new to this tenant.
        self.0.wanted.notify_one();
        self.attend(chat.id).await?;
        Ok(fresh)
    }

    /// Ends that; false when the tenant did not follow.
    pub(crate) async fn unfollow(&self, channel: i64, tenant: TenantId) -> Result<bool, Error> {
        let did = self.0.store.unfollow(channel, tenant).await?;
        self.attend(channel).await?;
        Ok(did)
    }

    /// Lets a tenant be told of posts between two numbers, soon.
    pub(crate) async fn want(
        &self,
        channel: i64,
        tenant: TenantId,
        numbers: (i32, i32),
    ) -> Result<(), Error> {
        self.0.store.want(channel, tenant, numbers).await?;
        self.0.wanted.notify_one();
        Ok(())
    }

    /// Remembers a channel, or what is new about it.
    pub(crate) async fn meet(&self, chat: &Chat) -> Result<(), Error> {
        let channel = Channel {
            id: chat.id,
            access_hash: chat.access_hash,
            title: chat.title.clone(),
            username: chat.username.clone(),
            pts: 0,
            top: 0,
        };
        Ok(self.0.store.meet(&channel).await?)
    }

    /// What is wrong with following a channel; `None` for one that nobody follows, too.
    pub(crate) fn trouble(&self, channel: i64) -> Option<String> {
        let workers = self.workers();
        let trouble = workers.get(&channel)?.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many channels are followed.
    pub(crate) fn followed(&self) -> usize {
        self.workers().len()
    }

    /// What is known.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    /// Waits until nobody else reads the channel.
    pub(crate) async fn turn(&self, channel: i64) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(channel).or_default())
        };
        lock.lock_owned().await
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            at: self.0.clock.now(),
            ids: self.0.ids.clone(),
        }
    }

    /// A channel has a worker as long as somebody follows it.
    async fn attend(&self, channel: i64) -> Result<(), touchstone_store::Error> {
        let _alone = self.0.staff.lock().await;
        if !self.0.store.followers(channel).await?.is_empty() {
            self.employ(channel);
        } else if let Some(worker) = self.workers().remove(&channel) {
            worker.stop.cancel();
        }
        Ok(())
    }

    /// A worker for a channel, unless there is one, which looks once more.
    fn employ(&self, channel: i64) {
        let mut workers = self.workers();
        if let Some(worker) = workers.get(&channel) {
            worker.wake.notify_one();
            return;
        }
        let worker = Worker {
            wake: Arc::default(),
            stop: self.0.life.soft_stop().child_token(),
            trouble: Arc::default(),
        };
        let work = channel::work(
            self.clone(),
            channel,
            Arc::clone(&worker.wake),
            worker.stop.clone(),
            Arc::clone(&worker.trouble),
        );
        self.0.life.spawn("telegram.channel", work);
        workers.insert(channel, worker);
    }

    async fn listen(self, mut hints: mpsc::UnboundedReceiver<Hint>) {
        let stop = self.0.life.soft_stop();
        while let Some(Some(hint)) = stop.run_until_cancelled(hints.recv()).await {
            let concerned = match &hint {
                Hint::Gap => None,
                Hint::Updates(updates) => hints::channels(updates),
            };
            let workers = self.workers();
            for (channel, worker) in workers.iter() {
                // Without a list nobody knows whom it concerns.
                if concerned
                    .as_ref()
                    .is_none_or(|these| these.contains(channel))
                {
                    worker.wake.notify_one();
                }
            }
        }
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<i64, Worker>> {
        self.0
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
