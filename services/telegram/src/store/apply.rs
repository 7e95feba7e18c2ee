//! What is the same on every backend: how tables change when Telegram tells something.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use touchstone_api::events::{Event, TELEGRAM_POSTS, TelegramPost, TelegramText};
use touchstone_api::telegram::Post;
use touchstone_store::Error;
use touchstone_types::TenantId;

use super::{Channel, Stamp, Stored, Told, threads};
use crate::domain::coverage::Coverage;
use crate::domain::ledger::{self, Digest, Kind, Row, Rows, Texts};

/// Gaps of a block that are read one by one; with more of them it is read whole.
const GAPS: usize = 2;

/// The tables inside of a transaction.
#[async_trait]
pub(super) trait Tables: Send {
    /// A channel; nobody else changes it until the transaction ends.
    async fn channel(&mut self, id: i64) -> Result<Option<Channel>, Error>;
    async fn set_state(&mut self, id: i64, pts: i32, top: i32) -> Result<(), Error>;
    async fn followers(&mut self, channel: i64) -> Result<Vec<TenantId>, Error>;
    async fn rows(&mut self, channel: i64, low: i32, high: i32) -> Result<Vec<Stored>, Error>;
    async fn album(&mut self, channel: i64, grouped_id: i64) -> Result<Vec<Stored>, Error>;
    /// Rows that answer numbers between two, `limit` at most.
    async fn answers(
        &mut self,
        channel: i64,
        low: i32,
        high: i32,
        limit: i32,
    ) -> Result<Vec<Stored>, Error>;
    async fn put_rows(&mut self, channel: i64, rows: &[Columns<'_>]) -> Result<(), Error>;
    async fn put_revisions(
        &mut self,
        channel: i64,
        revisions: &[Replaced],
        at: DateTime<Utc>,
    ) -> Result<(), Error>;
    async fn coverage(&mut self, channel: i64) -> Result<Vec<(i32, i32)>, Error>;
    async fn remove_interval(&mut self, channel: i64, low: i32) -> Result<(), Error>;
    async fn add_interval(&mut self, channel: i64, low: i32, high: i32) -> Result<(), Error>;
    /// Revisions and hashes.
    async fn hashes(&mut self, channel: i64, low: i32, high: i32) -> Result<Vec<Hash>, Error>;
    async fn put_block(&mut self, channel: i64, block: i32, digest: &Digest) -> Result<(), Error>;
    /// Numbers with a document of a tenant, with the digests of the documents' texts.
    async fn documents(
        &mut self,
        channel: i64,
        tenant: TenantId,
        low: i32,
        high: i32,
    ) -> Result<Vec<(i32, String)>, Error>;
    async fn append(&mut self, events: &[Event]) -> Result<(), Error>;
    async fn follow(
        &mut self,
        channel: i64,
        tenant: TenantId,
        at: DateTime<Utc>,
    ) -> Result<bool, Error>;
    /// What is wanted inside of these numbers is not any more.
    async fn swallow(
        &mut self,
        channel: i64,
        tenant: TenantId,
        numbers: (i32, i32),
    ) -> Result<(), Error>;
    async fn want(
        &mut self,
        channel: i64,
        tenant: TenantId,
        numbers: (i32, i32),
    ) -> Result<(), Error>;
    /// What is told next; nobody else tells it until the transaction ends.
    async fn wanted(&mut self) -> Result<Option<Wanted>, Error>;
    async fn set_untold(&mut self, wanted: &Wanted, untold: i32) -> Result<(), Error>;
}

/// A number with its revision and its hash.
pub(super) type Hash = (i32, (i32, Digest));

/// Posts that a tenant wants as documents.
pub(super) struct Wanted {
    pub channel: i64,
    pub tenant: TenantId,
    /// First and last number.
    pub numbers: (i32, i32),
    /// The last number of which nothing was told yet.
    pub untold: i32,
}

/// What a post was.
pub(super) struct Replaced {
    pub id: i32,
    pub revision: i32,
    pub body: String,
}

impl Replaced {
    fn new((revision, post): &(i32, Post)) -> Result<Self, Error> {
        Ok(Self {
            id: post.message_id,
            revision: *revision,
            body: json(post)?,
        })
    }
}

/// A row as it is written.
pub(super) struct Columns<'a> {
    pub row: &'a Row,
    pub kind: &'static str,
    pub body: Option<String>,
    pub hash: Digest,
}

impl<'a> Columns<'a> {
    fn new(row: &'a Row) -> Result<Self, Error> {
        Ok(Self {
            kind: word(row.kind),
            body: row.post.as_ref().map(json).transpose()?,
            hash: row.hash(),
            row,
        })
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Post => "post",
        Kind::Service => "service",
        Kind::Deleted => "deleted",
    }
}

fn json(post: &Post) -> Result<String, Error> {
    serde_json::to_string(post)
        .map_err(|error| Error::Database(sqlx::Error::Encode(Box::new(error))))
}

/// A row as it is read.
#[derive(sqlx::FromRow)]
pub(super) struct Found {
    id: i32,
    kind: String,
    revision: i32,
    grouped_id: Option<i64>,
    reply_to: Option<i32>,
    edited_at: Option<i32>,
    body: Option<String>,
    hash: Vec<u8>,
}

/// Rows as they were read.
pub(super) fn stored(found: Vec<Found>) -> Result<Vec<Stored>, Error> {
    found.into_iter().map(Stored::try_from).collect()
}

impl TryFrom<Found> for Stored {
    type Error = Error;

    fn try_from(found: Found) -> Result<Self, Error> {
        let post = found.body.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            row: Row {
                id: found.id,
                kind: match found.kind.as_str() {
                    "post" => Kind::Post,
                    "service" => Kind::Service,
                    _ => Kind::Deleted,
                },
                revision: found.revision,
                grouped_id: found.grouped_id,
                reply_to: found.reply_to,
                edited_at: found.edited_at,
                post: post.map_err(|error| Error::Corrupt(sqlx::Error::Decode(Box::new(error))))?,
            },
            hash: digest(&found.hash)?,
        })
    }
}

/// Digests of blocks as they were read.
pub(super) fn digests(found: Vec<(i32, Vec<u8>)>) -> Result<Vec<(i32, Digest)>, Error> {
    let digest = |(block, bytes): (i32, Vec<u8>)| Ok((block, digest(&bytes)?));
    found.into_iter().map(digest).collect()
}

/// Hashes as they were read, with number and revision before them.
pub(super) fn hashes(found: Vec<(i32, i32, Vec<u8>)>) -> Result<Vec<Hash>, Error> {
    let hash = |(id, revision, bytes): (i32, i32, Vec<u8>)| Ok((id, (revision, digest(&bytes)?)));
    found.into_iter().map(hash).collect()
}

/// A digest as it was read.
fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map_err(|error| {
        Error::Corrupt(sqlx::Error::Decode(
            Box::<std::array::TryFromSliceError>::new(error),
        ))
    })
}

/// Takes what Telegram told.
pub(super) async fn apply(
    tables: &mut dyn Tables,
    channel: i64,
    told: &Told,
    stamp: &Stamp,
) -> Result<usize, Error> {
    let Some(state) = tables.channel(channel).await? else {
        return Ok(0);
    };
    if told.since.is_some_and(|since| since != state.pts) {
        return Ok(0);
    }
    let followers = tables.followers(channel).await?;
    let (spans, known) = known(tables, channel, told).await?;
    let hash = |known: &Stored| (known.row.id, (known.row.revision, known.hash));
    let mut hashes: Hashes = known.iter().map(hash).collect();
    let mut before = by_number(known);
    if !followers.is_empty() {
        let spans = spans.clone();
        threads::complete(tables, channel, spans, &told.rows, &mut before).await?;
    }
    let plan = ledger::plan(&before, told.rows.clone(), &told.deleted, told.truth);
    let columns: Result<Vec<_>, _> = plan.rows.iter().map(Columns::new).collect();
    let columns = columns?;
    tables.put_rows(channel, &columns).await?;
    let hash = |written: &Columns<'_>| (written.row.id, (written.row.revision, written.hash));
    hashes.extend(columns.iter().map(hash));
    let replaced: Result<Vec<_>, _> = plan.replaced.iter().map(Replaced::new).collect();
    tables.put_revisions(channel, &replaced?, stamp.at).await?;
    let numbers = plan.rows.iter().map(|row| row.id);
    seal(tables, channel, numbers, &spans, &hashes).await?;
    cover(tables, channel, &told.covered).await?;
    let top = told.rows.iter().map(|row| row.id).fold(state.top, i32::max);
    let pts = told.pts.unwrap_or(state.pts);
    if (pts, top) != (state.pts, state.top) {
        tables.set_state(channel, pts, top).await?;
    }
    if followers.is_empty() {
        return Ok(0);
    }
    let mut after = before.clone();
    after.extend(plan.rows.into_iter().map(|row| (row.id, row)));
    let changes = ledger::changes(&ledger::texts(&before), &ledger::texts(&after));
    let changed = |tenant: &TenantId| -> Result<Vec<Event>, Error> {
        let changes = changes.iter();
        let event = |(message, text): &(i32, Option<TelegramText>)| {
            event(*tenant, channel, *message, text.as_ref(), stamp)
        };
        changes.map(event).collect()
    };
    for tenant in &followers {
        tables.append(&changed(tenant)?).await?;
    }
    Ok(changes.len() * followers.len())
}

/// The numbers that may change, and all their present rows.
async fn known(
    tables: &mut dyn Tables,
    channel: i64,
    told: &Told,
) -> Result<(Coverage, Vec<Stored>), Error> {
    let numbers = told.rows.iter().map(|row| row.id);
    let numbers = numbers.chain(told.deleted.iter().copied());
    let spans = numbers.map(|id| (id, id)).chain(told.truth);
    let spans = Coverage::from_intervals(spans);
    let mut rows = Vec::new();
    for (low, high) in spans.intervals() {
        rows.extend(tables.rows(channel, *low, *high).await?);
    }
    Ok((spans, rows))
}

fn by_number(stored: Vec<Stored>) -> Rows {
    let rows = stored.into_iter().map(|stored| stored.row);
    rows.map(|row| (row.id, row)).collect()
}

/// Revisions and hashes by number.
type Hashes = BTreeMap<i32, (i32, Digest)>;

/// Brings the digests of the numbers' blocks up to date. Of what lies in `spans`, `hashes` is all.
async fn seal(
    tables: &mut dyn Tables,
    channel: i64,
    numbers: impl Iterator<Item = i32>,
    spans: &Coverage,
    hashes: &Hashes,
) -> Result<(), Error> {
    let blocks: BTreeSet<i32> = numbers.map(ledger::block_of).collect();
    for block in blocks {
        let (low, high) = ledger::numbers_of(block);
        let mut unknown = spans.gaps(low, high);
        if unknown.len() > GAPS {
            unknown = vec![(low, high)];
        }
        let known = hashes.range(low..=high).map(|(id, hash)| (*id, *hash));
        let mut rows: Hashes = known.collect();
        for (low, high) in unknown {
            rows.extend(tables.hashes(channel, low, high).await?);
        }
        let rows = rows.into_iter();
        let rows = rows.map(|(id, (revision, hash))| (id, revision, hash));
        let digest = ledger::block(rows);
        tables.put_block(channel, block, &digest).await?;
    }
    Ok(())
}

async fn cover(tables: &mut dyn Tables, channel: i64, covered: &[(i32, i32)]) -> Result<(), Error> {
    if covered.is_empty() {
        return Ok(());
    }
    let before = tables.coverage(channel).await?;
    let mut after = Coverage::from_intervals(before.iter().copied());
    for (low, high) in covered {
        after.add(*low, *high);
    }
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (
        before.into_iter().collect(),
        after.intervals().iter().copied().collect(),
    );
    for (low, _) in before
        .iter()
        .filter(|(low, high)| after.get(*low) != Some(*high))
    {
        tables.remove_interval(channel, *low).await?;
    }
    for (low, high) in after
        .iter()
        .filter(|(low, high)| before.get(*low) != Some(*high))
    {
        tables.add_interval(channel, *low, *high).await?;
    }
    Ok(())
}

/// Tells a tenant of posts, as far as its documents differ from them.
async fn announce(
    tables: &mut dyn Tables,
    channel: i64,
    tenant: TenantId,
    (low, high): (i32, i32),
    stamp: &Stamp,
) -> Result<usize, Error> {
    // Nobody changes the channel meanwhile: its events stay in the order of its changes.
    if tables.channel(channel).await?.is_none() {
        return Ok(0);
    }
    let truth = Told {
        truth: Some((low, high)),
        ..Told::default()
    };
    let (spans, rows) = known(tables, channel, &truth).await?;
    let mut rows = by_number(rows);
    threads::complete(tables, channel, spans, &[], &mut rows).await?;
    // Albums and threads may reach over the edge, but not everything there was looked at.
    let mut looked_at = Coverage::from_intervals(rows.keys().map(|id| (*id, *id)));
    looked_at.add(low, high);
    let texts: Texts = ledger::texts(&rows);
    let mut mapped: BTreeMap<i32, String> = BTreeMap::new();
    for (low, high) in looked_at.intervals() {
        mapped.extend(tables.documents(channel, tenant, *low, *high).await?);
    }
    let gone = mapped.keys().filter(|id| !texts.contains_key(*id));
    let gone = gone.map(|id| (*id, None));
    let new = texts
        .iter()
        .filter(|(id, text)| mapped.get(*id) != Some(&text.digest));
    let changes = gone.chain(new.map(|(id, text)| (*id, Some(text))));
    let events = changes.map(|(message, text)| event(tenant, channel, message, text, stamp));
    let events: Vec<Event> = events.collect::<Result<_, _>>()?;
    tables.append(&events).await?;
    Ok(events.len())
}

/// Lets a tenant follow a channel.
pub(super) async fn follow(
    tables: &mut dyn Tables,
    channel: i64,
    tenant: TenantId,
    at: DateTime<Utc>,
) -> Result<bool, Error> {
    if !tables.follow(channel, tenant, at).await? {
        return Ok(false);
    }
    // What is wanted comes before the channel, as where it is told: nobody waits for each other.
    tables.swallow(channel, tenant, (1, i32::MAX)).await?;
    // Nobody changes the channel from here on: of what is not there yet its followers are told.
    let top = tables.channel(channel).await?.map_or(0, |known| known.top);
    if top > 0 {
        tables.want(channel, tenant, (1, top)).await?;
    }
    Ok(true)
}

/// Remembers what a tenant wants.
pub(super) async fn want(
    tables: &mut dyn Tables,
    channel: i64,
    tenant: TenantId,
    numbers: (i32, i32),
) -> Result<(), Error> {
    tables.swallow(channel, tenant, numbers).await?;
    tables.want(channel, tenant, numbers).await
}

/// Announces the next numbers that are wanted.
pub(super) async fn tell(
    tables: &mut dyn Tables,
    most: i32,
    stamp: &Stamp,
) -> Result<Option<usize>, Error> {
    let Some(wanted) = tables.wanted().await? else {
        return Ok(None);
    };
    let low = wanted.untold.saturating_sub(most - 1).max(wanted.numbers.0);
    let numbers = (low, wanted.untold);
    let events = announce(tables, wanted.channel, wanted.tenant, numbers, stamp).await?;
    tables.set_untold(&wanted, low - 1).await?;
    Ok(Some(events))
}

fn event(
    tenant: TenantId,
    channel: i64,
    message: i32,
    text: Option<&TelegramText>,
    stamp: &Stamp,
) -> Result<Event, Error> {
    let post = TelegramPost {
        tenant_id: tenant,
        channel_id: channel,
        message_id: message,
        text: text.cloned(),
    };
    let payload = serde_json::to_value(&post)
        .map_err(|error| Error::Database(sqlx::Error::Encode(Box::new(error))))?;
    Ok(Event {
        id: stamp.ids.next(),
        topic: TELEGRAM_POSTS.to_owned(),
        key: format!("{tenant}/{channel}/{message}"),
        at: stamp.at,
        traceparent: None,
        payload,
    })
}

/// A name of an account that tells nothing of its key.
pub(crate) fn account_name(key: &[u8]) -> String {
    hex::encode(&Sha256::digest(Sha256::digest(key))[..16])
}
