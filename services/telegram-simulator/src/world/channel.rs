//! A channel: posts made from the seed when they are asked for, and what changed since.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::text;
use crate::scenario::Language;

/// Seconds between two posts of the past.
const PACE: i32 = 5_400;

/// A post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Post {
    /// Number in its channel.
    pub id: i32,
    /// Seconds since 1970.
    pub date: i32,
    /// Text, may be empty beside media.
    pub text: String,
    /// Views before the world's ticks.
    pub views: i32,
    /// Forwards.
    pub forwards: i32,
    /// The post that it answers.
    pub reply_to: Option<i32>,
    /// Posts of one album share it.
    pub grouped_id: Option<i64>,
    /// What is attached.
    pub media: Option<Media>,
    /// Last edit, seconds since 1970.
    pub edit_date: Option<i32>,
    /// The member who wrote it, in groups.
    pub author: Option<i64>,
}

/// What is attached to a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Media {
    /// A photograph.
    Photo {
        /// Its id.
        id: i64,
        /// Bytes.
        size: i32,
    },
    /// A file.
    Document {
        /// Its id.
        id: i64,
        /// Bytes.
        size: i32,
        /// File name.
        name: String,
        /// MIME type.
        mime: String,
    },
}

impl Media {
    /// Its id.
    pub fn id(&self) -> i64 {
        match self {
            Self::Photo { id, .. } | Self::Document { id, .. } => *id,
        }
    }

    /// Its bytes between two offsets: the same for the same id.
    pub fn bytes(&self, offset: usize, limit: usize) -> Vec<u8> {
        let (Self::Photo { id, size } | Self::Document { id, size, .. }) = self;
        let end = (*size as usize).min(offset.saturating_add(limit));
        let byte = |at: usize| ((*id as usize).wrapping_mul(31).wrapping_add(at * 7)) as u8;
        match self {
            Self::Photo { .. } => (offset..end)
                .map(|at| *[0xff, 0xd8, 0xff, 0xe0].get(at).unwrap_or(&byte(at)))
                .collect(),
            Self::Document { .. } => (offset..end).map(|at| b'a' + byte(at) % 26).collect(),
        }
    }
}

/// What a number of a channel stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Nothing: deleted, or never there.
    Hole,
    /// A service message; number 1 says that the channel was created.
    Service,
    /// A post.
    Post(Post),
}

/// A step of a channel's history that clients follow by `pts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A new post.
    Posted {
        /// Its number.
        id: i32,
    },
    /// An edited one.
    Edited {
        /// Its number.
        id: i32,
    },
    /// Deleted ones.
    Deleted {
        /// Their numbers.
        ids: Vec<i32>,
    },
}

impl Change {
    /// How far it moves `pts`.
    pub fn width(&self) -> i32 {
        match self {
            Self::Posted { .. } | Self::Edited { .. } => 1,
            Self::Deleted { ids } => ids.len() as i32,
        }
    }
}

/// A channel or a group.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Bare id.
    pub id: i64,
    /// What proves that a client met it.
    pub access_hash: i64,
    /// Title.
    pub title: String,
    /// Public name; private channels have none.
    pub username: Option<String>,
    /// What follows `t.me/+` in its invite link.
    pub invite: Option<String>,
    /// Whether members write.
    pub group: bool,
    /// Language of its posts.
    pub language: Language,
    /// Members of its own users; made-up ones come on top.
    pub members: BTreeSet<i64>,
    /// Number of members that is told.
    pub participants: i32,
    /// Date of creation, seconds since 1970.
    pub created: i32,
    seed: u64,
    initial: i32,
    last: i32,
    count: i32,
    changed: BTreeMap<i32, Option<Post>>,
    first_pts: i32,
    pts: i32,
    log: Vec<(i32, Change)>,
}

impl Channel {
    /// A channel whose posts end at `now`.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is told once, by the world"
    )]
    pub(crate) fn new(
        id: i64,
        seed: u64,
        title: String,
        username: Option<String>,
        invite: Option<String>,
        group: bool,
        language: Language,
        posts: u32,
        now: i32,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let initial = (posts as i32).max(1);
        let mut channel = Self {
            id,
            access_hash: rng.random(),
            title,
            username,
            invite,
            group,
            language,
            members: BTreeSet::new(),
            participants: rng.random_range(50..900_000),
            created: now.saturating_sub(initial.saturating_mul(PACE)),
            seed,
            initial,
            last: initial,
            count: 0,
            changed: BTreeMap::new(),
            first_pts: initial + 1,
            pts: initial + 1,
            log: Vec::new(),
        };
        channel.count = (1..=initial).filter(|id| !channel.is_hole(*id)).count() as i32;
        channel
    }

    /// The newest number that was given.
    pub fn last_id(&self) -> i32 {
        self.last
    }

    /// Messages that exist, service messages among them.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// The state that clients compare theirs with.
    pub fn pts(&self) -> i32 {
        self.pts
    }

    /// Changes after `pts`, each with the state that it led to.
    ///
    /// `None` when the log does not reach that far back.
    pub fn changes_after(&self, pts: i32) -> Option<&[(i32, Change)]> {
        (pts >= self.first_pts).then(|| {
            let start = self.log.partition_point(|(after, _)| *after <= pts);
            &self.log[start..]
        })
    }

    /// What a number stands for.
    pub fn slot(&self, id: i32) -> Slot {
        if let Some(changed) = self.changed.get(&id) {
            return changed.clone().map_or(Slot::Hole, Slot::Post);
        }
        match id {
            1 => Slot::Service,
            _ if !(1..=self.initial).contains(&id) || self.is_hole(id) => Slot::Hole,
            _ => Slot::Post(self.original(id)),
        }
    }

    /// Whether a message with that number exists.
    pub fn exists(&self, id: i32) -> bool {
        match self.changed.get(&id) {
            Some(changed) => changed.is_some(),
            None => (1..=self.initial).contains(&id) && !self.is_hole(id),
        }
    }

    /// A page of numbers, newest first, as `messages.getHistory` defines it.
    ///
    /// The page starts below `offset_id` (0: at the newest), moved by `add_offset` messages towards
    /// older ones, or newer ones when negative; it holds `limit` at most, inside of
    /// `min_id < id < max_id` where these are not 0.
    pub fn page(
        &self,
        offset_id: i32,
        add_offset: i32,
        limit: i32,
        min_id: i32,
        max_id: i32,
    ) -> Vec<i32> {
        let limit = limit.clamp(0, 100);
        let mut start = if offset_id > 0 {
            offset_id
        } else {
            self.last + 1
        };
        let mut take = limit;
        // `start` is exclusive: the first message is the newest one below it.
        for _ in 0..add_offset.max(0) {
            match self.older(start) {
                Some(id) => start = id,
                None => return Vec::new(),
            }
        }
        for done in 0..(-add_offset).max(0) {
            match self.newer(start - 1) {
                Some(id) => start = id + 1,
                None => {
                    // The page begins before the newest message: that part of it is empty.
                    take = limit - (-add_offset - done);
                    break;
                }
            }
        }
        let mut ids = Vec::new();
        while take > 0 {
            let Some(id) = self.older(start) else { break };
            start = id;
            take -= 1;
            if (min_id == 0 || id > min_id) && (max_id == 0 || id < max_id) {
                ids.push(id);
            } else if min_id != 0 && id <= min_id {
                break;
            }
        }
        ids
    }

    /// The first number whose message is not older than `date`.
    pub fn first_since(&self, date: i32) -> i32 {
        if date <= 0 {
            return 0;
        }
        let (mut low, mut high) = (1, self.last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.date(middle) < date {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Publishes a post; returns its number.
    pub(crate) fn post(&mut self, mut post: Post) -> i32 {
        self.last += 1;
        post.id = self.last;
        // Dates never run backwards.
        post.date = post.date.max(self.date(self.last - 1));
        if let Some(Media::Photo { id, .. } | Media::Document { id, .. }) = &mut post.media {
            *id = i64::from(self.last) + (self.id << 24);
        }
        self.changed.insert(self.last, Some(post));
        self.count += 1;
        self.record(Change::Posted { id: self.last });
        self.last
    }

    /// Replaces a post's text; false when there is no such post.
    pub(crate) fn edit(&mut self, id: i32, text: &str, now: i32) -> bool {
        let Slot::Post(mut post) = self.slot(id) else {
            return false;
        };
        text.clone_into(&mut post.text);
        post.edit_date = Some(now);
        self.changed.insert(id, Some(post));
        self.record(Change::Edited { id });
        true
    }

    /// Deletes posts; returns the numbers that existed.
    pub(crate) fn delete(&mut self, ids: &[i32]) -> Vec<i32> {
        let mut ids: Vec<i32> = ids.iter().copied().filter(|id| self.exists(*id)).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in &ids {
            self.changed.insert(*id, None);
        }
        self.count -= ids.len() as i32;
        if !ids.is_empty() {
            self.record(Change::Deleted { ids: ids.clone() });
        }
        ids
    }

    fn record(&mut self, change: Change) {
        self.pts += change.width();
        self.log.push((self.pts, change));
    }

    fn older(&self, below: i32) -> Option<i32> {
        (1..below.min(self.last + 1))
            .rev()
            .find(|id| self.exists(*id))
    }

    fn newer(&self, above: i32) -> Option<i32> {
        (above.max(0) + 1..=self.last).find(|id| self.exists(*id))
    }

    fn date(&self, id: i32) -> i32 {
        // Of what was deleted the neighbour's date keeps the order.
        let later = (self.initial + 1..=id).rev();
        let mut dates =
            later.filter_map(|id| self.changed.get(&id)?.as_ref().map(|post| post.date));
        dates.next().unwrap_or_else(|| {
            let id = id.min(self.initial);
            match self.changed.get(&id) {
                Some(Some(post)) => post.date,
                _ => self.created.saturating_add(id.saturating_mul(PACE)),
            }
        })
    }

    /// A few bits per number, without making the post.
    fn mix(&self, id: i32) -> u64 {
        let mut bits = self.seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn is_hole(&self, id: i32) -> bool {
        id > 1 && self.mix(id) % 100 < 3
    }

    /// The start of the album that a number belongs to.
    fn album(&self, id: i32) -> Option<i32> {
        (id - 2..=id).find(|start| *start > 1 && (self.mix(*start) / 128).is_multiple_of(41))
    }

    fn original(&self, id: i32) -> Post {
        let mut rng = ChaCha8Rng::seed_from_u64(self.mix(id));
        let album = self.album(id);
        let mut text = text::post(self.language, &mut rng);
        let media = match (album, rng.random_range(0..20_u32)) {
            (Some(_), _) | (None, 0..3) => Some(Media::Photo {
                id: i64::from(id) + (self.id << 24),
                size: rng.random_range(4_000..90_000),
            }),
            (None, 3) => Some(Media::Document {
                id: i64::from(id) + (self.id << 24),
                size: rng.random_range(1_000..300_000),
                name: format!("report-{id}.txt"),
                mime: "text/plain".into(),
            }),
            _ => None,
        };
        if album.is_some_and(|start| start != id) {
            // Only the first picture of an album carries the caption.
            text.clear();
        }
        Post {
            id,
            date: self.date(id),
            text,
            views: rng.random_range(100..2_400_000),
            forwards: rng.random_range(0..24_000),
            reply_to: (id > 4 && rng.random_ratio(1, 12)).then(|| id - rng.random_range(1..4)),
            grouped_id: album.map(|start| (self.id << 20) + i64::from(start)),
            media,
            edit_date: rng.random_ratio(1, 15).then(|| self.date(id) + 60),
            author: self
                .group
                .then(|| 900_000 + i64::from(rng.random_range(0..40))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(posts: u32) -> Channel {
        let now = 1_769_889_600;
        Channel::new(
            1_001,
            7,
            "T".into(),
            None,
            None,
            false,
            Language::En,
            posts,
            now,
        )
    }

    fn all(channel: &Channel) -> Vec<i32> {
        (1..=channel.last_id())
            .rev()
            .filter(|id| channel.exists(*id))
            .collect()
    }

    #[test]
    fn pages_walk_the_whole_history_once() {
        let channel = channel(730);
        let mut ids = Vec::new();
        let mut offset = 0;
        loop {
            let page = channel.page(offset, 0, 100, 0, 0);
            let Some(last) = page.last() else { break };
            offset = *last;
            ids.extend(page);
        }
        assert_eq!(ids, all(&channel));
        assert_eq!(ids.len() as i32, channel.count());
        assert!(ids.len() < 730, "there are holes");
    }

    #[test]
    fn reversed_pages_walk_from_a_number_to_the_newest() {
        let channel = channel(730);
        let (mut offset, mut ids) = (300, Vec::new());
        loop {
            // As clients ask in reverse: the hundred messages at or above the offset.
            let mut page = channel.page(offset, -100, 100, offset - 1, 0);
            page.reverse();
            let Some(last) = page.last() else { break };
            offset = *last + 1;
            ids.extend(page);
        }
        let expected: Vec<i32> = all(&channel)
            .into_iter()
            .rev()
            .filter(|id| *id >= 300)
            .collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn changes_can_be_followed_by_pts() {
        let mut channel = channel(50);
        let before = channel.pts();
        let Slot::Post(model) = channel.slot(channel.page(0, 0, 1, 0, 0)[0]) else {
            panic!("a post");
        };
        let id = channel.post(Post {
            text: "new".into(),
            ..model
        });
        assert_eq!(id, 51);
        assert!(channel.edit(id, "newer", 1));
        assert_eq!(channel.delete(&[id, id, 9_999]), [id]);
        assert_eq!(channel.pts(), before + 3);
        let changes = channel.changes_after(before + 1).unwrap();
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[1], (before + 3, Change::Deleted { ids: vec![id] }));
        assert_eq!(channel.slot(id), Slot::Hole);
        assert!(channel.changes_after(before - 1).is_none());
    }

    #[test]
    fn a_post_after_many_that_were_deleted_is_not_older_than_they_were() {
        let mut channel = channel(50);
        let Slot::Post(model) = channel.slot(channel.page(0, 0, 1, 0, 0)[0]) else {
            panic!("a post");
        };
        let later = model.date + 1_000_000;
        for date in [later, later + 5, later + 1] {
            channel.post(Post {
                date,
                ..model.clone()
            });
        }
        let dates = (51..=53).map(|id| channel.date(id) - later);
        assert_eq!(dates.collect::<Vec<_>>(), [0, 5, 5]);
        let many: Vec<i32> = (0..100_000).map(|_| channel.post(model.clone())).collect();
        channel.delete(&many);
        let id = channel.post(model);
        assert_eq!(channel.date(id), later + 5);
    }

    #[test]
    fn the_same_seed_makes_the_same_posts() {
        let (a, b) = (channel(200), channel(200));
        for id in 0..=201 {
            assert_eq!(a.slot(id), b.slot(id));
        }
        let albums: Vec<_> = (1..=200)
            .filter_map(|id| match a.slot(id) {
                Slot::Post(post) => post.grouped_id,
                _ => None,
            })
            .collect();
        assert!(
            albums.windows(2).any(|pair| pair[0] == pair[1]),
            "there are albums"
        );
    }
}
