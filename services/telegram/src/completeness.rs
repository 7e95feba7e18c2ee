//! What is known of a channel, in a form that a program can check.

use touchstone_api::telegram::{Completeness, DigestChain, Holes, NumberSpan};
use touchstone_types::TenantId;

use crate::Error;
use crate::domain::coverage::Coverage;
use crate::domain::ledger::{self, Digest, Kind};
use crate::service::Telegram;
use crate::store::{Store, Stored};

/// What was counted while the rows were read.
#[derive(Default)]
struct Seen {
    posts: u64,
    held: Coverage,
    deleted: Coverage,
    service: Coverage,
    blocks: Vec<(i32, Digest)>,
    broken: Vec<i32>,
}

impl Telegram {
    /// Which numbers of a channel are accounted for, and whether what is stored is what was stored.
    ///
    /// Memory is that of a block, however large the channel is. Nobody waits for that, also not another
    /// instance: what is told is of the channel's state when it was read first.
    pub(crate) async fn completeness(
        &self,
        id: i64,
        tenant: TenantId,
    ) -> Result<Completeness, Error> {
        let store = self.mirror().store();
        let channel = store
            .channel(id)
            .await?
            .ok_or(Error::UnknownChannel(id.to_string()))?;
        let covered = Coverage::from_intervals(store.coverage(id).await?);
        let mut seen = Seen::default();
        for (block, digest) in store.blocks(id).await? {
            let (rows, digest, holds) = checked(store, id, block, digest).await?;
            for stored in &rows {
                let row = &stored.row;
                match row.kind {
                    Kind::Post => {
                        seen.posts += 1;
                        seen.held.add(row.id, row.id);
                    }
                    Kind::Service => seen.service.add(row.id, row.id),
                    Kind::Deleted => seen.deleted.add(row.id, row.id),
                }
            }
            if !holds {
                seen.broken.push(block);
            }
            seen.blocks.push((block, digest));
        }
        let missing = covered.gaps(1, channel.top);
        let mut told = seen.held.clone();
        for (low, high) in seen
            .deleted
            .intervals()
            .iter()
            .chain(seen.service.intervals())
        {
            told.add(*low, *high);
        }
        // Accounted for, and nothing is there: gone before anybody looked.
        let mut absent = Vec::new();
        for (low, high) in covered.intervals() {
            absent.extend(told.gaps(*low, *high));
        }
        let followers = store.followers(id).await?;
        let trouble = self.mirror().trouble(id);
        Ok(Completeness {
            channel_id: id,
            following: followers.contains(&tenant),
            complete: channel.pts > 0 && missing.is_empty() && seen.broken.is_empty(),
            pts: channel.pts,
            last_message_id: channel.top,
            posts: seen.posts,
            intervals: spans(covered.intervals()),
            missing: spans(&missing),
            holes: Holes {
                deleted: spans(seen.deleted.intervals()),
                service: spans(seen.service.intervals()),
                absent: spans(&absent),
            },
            chain: DigestChain {
                block_size: ledger::BLOCK,
                blocks: u32::try_from(seen.blocks.len()).unwrap_or(u32::MAX),
                head: hex::encode(ledger::chain(seen.blocks)),
                broken: seen.broken,
            },
            trouble,
        })
    }
}

/// The rows of a block, its digest, and whether they are what it was made of.
async fn checked(
    store: &dyn Store,
    channel: i64,
    block: i32,
    mut digest: Digest,
) -> Result<(Vec<Stored>, Digest, bool), Error> {
    let (low, high) = ledger::numbers_of(block);
    loop {
        let rows = store.rows(channel, low, high).await?;
        let whole = rows.iter().all(|stored| stored.row.hash() == stored.hash);
        let again = rows
            .iter()
            .map(|stored| (stored.row.id, stored.row.revision, stored.hash));
        if whole && ledger::block(again) == digest {
            return Ok((rows, digest, true));
        }
        // It may have changed between the two looks.
        let mut blocks = store.blocks(channel).await?.into_iter();
        match blocks.find(|(own, _)| *own == block) {
            Some((_, now)) if now != digest => digest = now,
            _ => return Ok((rows, digest, false)),
        }
    }
}

fn spans(intervals: &[(i32, i32)]) -> Vec<NumberSpan> {
    let span = |(low, high): &(i32, i32)| NumberSpan {
        low: *low,
        high: *high,
    };
    intervals.iter().map(span).collect()
}
