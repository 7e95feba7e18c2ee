//! What the numbers of a channel stand for, and what follows when Telegram tells more of them.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use touchstone_api::events::TelegramText;
use touchstone_api::telegram::Post;

use super::target::deep_link;

mod threads;

pub use threads::{LONGEST_THREAD, Link, Links, open};

/// A SHA-256.
pub type Digest = [u8; 32];

/// Numbers of a block of the chain.
pub const BLOCK: i32 = 1_000;

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A post.
    Post,
    /// A service message: somebody joined, the channel was created.
    Service,
    /// Something that is gone.
    Deleted,
}

/// A number of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The number.
    pub id: i32,
    /// What it stands for.
    pub kind: Kind,
    /// How often it changed, from 1.
    pub revision: i32,
    /// Posts of one album share it; it outlives them.
    pub grouped_id: Option<i64>,
    /// The post that it answers; it outlives this one, too.
    pub reply_to: Option<i32>,
    /// Last edit, seconds since 1970.
    pub edited_at: Option<i32>,
    /// The post, if it is one.
    pub post: Option<Post>,
}

/// Rows of a channel by number.
pub type Rows = BTreeMap<i32, Row>;

/// What has to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Rows as they are from now on.
    pub rows: Vec<Row>,
    /// Posts that were replaced, with the revision that they were.
    pub replaced: Vec<(i32, Post)>,
}

impl Row {
    /// A service message.
    pub fn service(id: i32) -> Self {
        Self::of(id, Kind::Service)
    }

    /// Something that is gone.
    pub fn deleted(id: i32) -> Self {
        Self::of(id, Kind::Deleted)
    }

    /// A post.
    pub fn post(post: Post, grouped_id: Option<i64>, edited_at: Option<i32>) -> Self {
        Self {
            grouped_id,
            reply_to: post.reply_to_msg_id,
            edited_at,
            ..Self::of(post.message_id, Kind::Post)
        }
        .with(post)
    }

    fn with(self, post: Post) -> Self {
        Self {
            post: Some(post),
            ..self
        }
    }

    const fn of(id: i32, kind: Kind) -> Self {
        Self {
            id,
            kind,
            revision: 1,
            grouped_id: None,
            reply_to: None,
            edited_at: None,
            post: None,
        }
    }

    /// A digest of what the number stands for. Views and forwards are left out: they grow without
    /// anybody being told.
    pub fn hash(&self) -> Digest {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        field(match self.kind {
            Kind::Post => b"post".as_slice(),
            Kind::Service => b"service",
            Kind::Deleted => b"deleted",
        });
        field(&self.id.to_be_bytes());
        if let Some(post) = &self.post {
            field(&post.channel_id.to_be_bytes());
            field(post.text.as_bytes());
            field(post.date.as_bytes());
            field(&post.sender_id.to_be_bytes());
            field(&post.reply_to_msg_id.unwrap_or_default().to_be_bytes());
            field(post.media_type.as_deref().unwrap_or_default().as_bytes());
            field(&self.grouped_id.unwrap_or_default().to_be_bytes());
            field(&self.edited_at.unwrap_or_default().to_be_bytes());
        }
        hash.finalize().into()
    }
}

/// What has to be written when Telegram tells `told`, says that `deleted` are gone, and that what lies
/// between the numbers of `truth` is `told` and nothing else. `known` are the present rows of all
/// these numbers.
///
/// The last word counts, in the order in which Telegram was asked. The dates of edits decide nothing:
/// they are of clocks that are set, and of seconds, in which a post may be edited twice.
pub fn plan(known: &Rows, told: Vec<Row>, deleted: &[i32], truth: Option<(i32, i32)>) -> Plan {
    let mut plan = Plan::default();
    let told: Rows = told.into_iter().map(|row| (row.id, row)).collect();
    let seen: BTreeSet<i32> = told.keys().copied().collect();
    for mut row in told.into_values() {
        if deleted.contains(&row.id) {
            continue;
        }
        let Some(before) = known.get(&row.id) else {
            plan.rows.push(row);
            continue;
        };
        row.revision = before.revision;
        if before.hash() == row.hash() {
            if let (Some(now), Some(then)) = (&mut row.post, &before.post) {
                now.sync_type = then.sync_type;
            }
            if row != *before {
                // Views grew; that is no revision.
                plan.rows.push(row);
            }
        } else {
            row.revision += 1;
            plan.replace(before, row);
        }
    }
    let spans = truth.into_iter().filter(|(low, high)| low <= high);
    let held = spans.flat_map(|(low, high)| known.range(low..=high).map(|(id, _)| *id));
    let vanished = held.filter(|id| !seen.contains(id));
    let gone: BTreeSet<i32> = deleted.iter().copied().chain(vanished).collect();
    for id in gone {
        match known.get(&id) {
            Some(before) if before.kind != Kind::Deleted => {
                let gone = Row {
                    revision: before.revision + 1,
                    grouped_id: before.grouped_id,
                    reply_to: before.reply_to,
                    ..Row::deleted(id)
                };
                plan.replace(before, gone);
            }
            Some(_) => {}
            None => plan.rows.push(Row::deleted(id)),
        }
    }
    plan
}

impl Plan {
    fn replace(&mut self, before: &Row, row: Row) {
        if let Some(post) = &before.post {
            self.replaced.push((before.revision, post.clone()));
        }
        self.rows.push(row);
    }
}

/// What is to be found of a channel: number of the post, or of the album's or thread's first one, and
/// its text.
pub type Texts = BTreeMap<i32, TelegramText>;

/// The texts of rows: one for each post that has any, one for each album, one for each thread.
///
/// An album or thread goes by its first number, also when that post was deleted, so that it stays one
/// thing.
pub fn texts(rows: &Rows) -> Texts {
    let links: Links = rows.values().map(Link::of).collect();
    let units = threads::units(&links);
    let named = |unit: Vec<i32>| {
        let rows: Vec<&Row> = unit.iter().filter_map(|id| rows.get(id)).collect();
        Some((*unit.first()?, text(&rows)?))
    };
    units.into_iter().filter_map(named).collect()
}

fn text(unit: &[&Row]) -> Option<TelegramText> {
    let posts: Vec<&Post> = unit.iter().filter_map(|row| row.post.as_ref()).collect();
    let parts: Vec<&str> = posts
        .iter()
        .map(|post| post.text.trim())
        .filter(|text| !text.is_empty())
        .collect();
    let first = *posts.first()?;
    if parts.is_empty() {
        return None;
    }
    let username = first.channel_username.as_deref();
    let mut text = TelegramText {
        text: parts.join("\n\n"),
        channel_title: first.channel_title.clone(),
        url: deep_link(username, first.channel_id, first.message_id),
        date: first.date.clone(),
        reply_to: first.reply_to_msg_id,
        digest: String::new(),
    };
    let mut hash = Sha256::new();
    let reply = text.reply_to.unwrap_or_default().to_string();
    for field in [
        &text.text,
        &text.channel_title,
        &text.url,
        &text.date,
        &reply,
    ] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    text.digest = hex::encode(hash.finalize());
    Some(text)
}

/// What changed between two states of the same numbers; `None`: it is to be found no more.
pub fn changes(before: &Texts, after: &Texts) -> Vec<(i32, Option<TelegramText>)> {
    let gone = before.keys().filter(|id| !after.contains_key(*id));
    let mut changes: Vec<_> = gone.map(|id| (*id, None)).collect();
    let new = after
        .iter()
        .filter(|(id, text)| before.get(*id) != Some(*text));
    changes.extend(new.map(|(id, text)| (*id, Some(text.clone()))));
    changes.sort_by_key(|(id, _)| *id);
    changes
}

/// The block that a number is in.
pub const fn block_of(id: i32) -> i32 {
    id.div_euclid(BLOCK)
}

/// The first and the last number of a block.
pub const fn numbers_of(block: i32) -> (i32, i32) {
    let low = block.saturating_mul(BLOCK);
    (low, low.saturating_add(BLOCK - 1))
}

/// The digest of a block: over its numbers, ascending, with their revisions and hashes.
pub fn block(rows: impl IntoIterator<Item = (i32, i32, Digest)>) -> Digest {
    let mut hash = Sha256::new();
    for (id, revision, digest) in rows {
        hash.update(id.to_be_bytes());
        hash.update(revision.to_be_bytes());
        hash.update(digest);
    }
    hash.finalize().into()
}

/// The head of the chain over blocks: each link holds the one before.
pub fn chain(blocks: impl IntoIterator<Item = (i32, Digest)>) -> Digest {
    blocks.into_iter().fold([0; 32], |head, (block, digest)| {
        let mut hash = Sha256::new();
        hash.update(head);
        hash.update(block.to_be_bytes());
        hash.update(digest);
        hash.finalize().into()
    })
}

#[cfg(test)]
mod tests;
