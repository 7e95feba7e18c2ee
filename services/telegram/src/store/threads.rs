//! Which rows have to be looked at together: albums and threads are one document each.

use std::collections::BTreeSet;

use touchstone_store::Error;

use super::apply::Tables;
use crate::domain::coverage::Coverage;
use crate::domain::ledger::{self, Link, Links, Row, Rows};

/// Answers that are read at once.
const ANSWERS: i32 = 500;

/// What was asked of the tables.
struct Asked {
    /// Numbers that were read.
    rows: Coverage,
    /// Numbers whose answers were read.
    answers: Coverage,
    albums: BTreeSet<i64>,
}

/// Adds to `rows`, which are all that lies between the numbers of `spans`, whatever belongs to the same
/// albums and threads, `told` included.
///
/// Of a thread that is too long to be one, as much is read as it takes to see that.
pub(super) async fn complete(
    tables: &mut dyn Tables,
    channel: i64,
    spans: Coverage,
    told: &[Row],
    rows: &mut Rows,
) -> Result<(), Error> {
    // As it is now: a thread that becomes too long by what is told was one until now.
    let mut links: Links = rows.values().map(Link::of).collect();
    let mut albums: BTreeSet<i64> = told.iter().filter_map(|row| row.grouped_id).collect();
    let mut parents: BTreeSet<i32> = told.iter().filter_map(|row| row.reply_to).collect();
    let mut asked = Asked {
        answers: Coverage::default(),
        albums: BTreeSet::new(),
        rows: spans.clone(),
    };
    let mut answered = spans;
    loop {
        for id in ledger::open(&links) {
            let link = links.get(&id).copied().unwrap_or_default();
            parents.extend(link.reply_to);
            answered.add(id, id);
        }
        // Also of what stands for itself: an album does not fall apart.
        albums.extend(links.values().filter_map(|link| link.grouped_id));
        let mut found = Vec::new();
        for album in std::mem::take(&mut albums) {
            if asked.albums.insert(album) {
                found.extend(tables.album(channel, album).await?);
            }
        }
        let wanted = std::mem::take(&mut parents).into_iter();
        let wanted = wanted.filter(|id| !asked.rows.contains(*id));
        let wanted = Coverage::from_intervals(wanted.map(|id| (id, id)));
        for (low, high) in wanted.intervals() {
            asked.rows.add(*low, *high);
            found.extend(tables.rows(channel, *low, *high).await?);
        }
        for (low, high) in std::mem::take(&mut answered).intervals() {
            for (low, high) in asked.answers.gaps(*low, *high) {
                asked.answers.add(low, high);
                let mut spans = vec![(low, high)];
                while let Some((low, high)) = spans.pop() {
                    let some = tables.answers(channel, low, high, ANSWERS).await?;
                    // So many answers to one post are too many for a thread.
                    if some.len() < ANSWERS as usize || low == high {
                        found.extend(some);
                    } else {
                        let middle = low + (high - low) / 2;
                        spans.extend([(low, middle), (middle + 1, high)]);
                    }
                }
            }
        }
        let before = links.len();
        for found in found {
            let (id, link) = Link::of(&found.row);
            links.insert(id, link);
            rows.insert(id, found.row);
        }
        if links.len() == before {
            return Ok(());
        }
    }
}
