//! What belongs together: albums, and posts that answer each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Row;

/// Most posts of a thread that is one document. A longer one is a conversation, of which each post, or
/// album, stands for itself.
pub const LONGEST_THREAD: usize = 64;

/// What a number is tied to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Link {
    /// The album.
    pub grouped_id: Option<i64>,
    /// The post that it answers.
    pub reply_to: Option<i32>,
}

impl Link {
    /// The number of a row, and what it is tied to.
    pub fn of(row: &Row) -> (i32, Self) {
        let link = Self {
            grouped_id: row.grouped_id,
            reply_to: row.reply_to,
        };
        (row.id, link)
    }
}

/// Numbers with what they are tied to.
pub type Links = BTreeMap<i32, Link>;

/// Sets of numbers that grow together.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// The smaller place stays the root.
    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// Numbers that are tied to each other, ascending in each set.
fn tied(links: &Links) -> Vec<Vec<i32>> {
    let ids: Vec<i32> = links.keys().copied().collect();
    let mut sets = Sets((0..ids.len()).collect());
    let mut albums: HashMap<i64, usize> = HashMap::new();
    for (at, link) in links.values().enumerate() {
        if let Some(album) = link.grouped_id {
            let first = *albums.entry(album).or_insert(at);
            sets.join(first, at);
        }
        if let Some(parent) = link.reply_to.and_then(|id| ids.binary_search(&id).ok()) {
            sets.join(parent, at);
        }
    }
    let mut found: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
    for (at, id) in ids.iter().enumerate() {
        found.entry(sets.root(at)).or_default().push(*id);
    }
    found.into_values().collect()
}

/// The numbers of each document, ascending.
pub(super) fn units(links: &Links) -> Vec<Vec<i32>> {
    let mut units = Vec::new();
    for set in tied(links) {
        if set.len() <= LONGEST_THREAD {
            units.push(set);
            continue;
        }
        let mut albums: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
        for id in set {
            match links.get(&id).and_then(|link| link.grouped_id) {
                Some(album) => albums.entry(album).or_default().push(id),
                None => units.push(vec![id]),
            }
        }
        units.extend(albums.into_values());
    }
    units
}

/// Numbers of which more has to be known to say what they belong to: everything but what is known to
/// be in threads that are too long.
pub fn open(links: &Links) -> BTreeSet<i32> {
    let sets = tied(links).into_iter();
    sets.filter(|set| set.len() <= LONGEST_THREAD)
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(list: &[(i32, Option<i32>, Option<i64>)]) -> Links {
        let link = |(id, reply_to, grouped_id): &(i32, Option<i32>, Option<i64>)| {
            let link = Link {
                grouped_id: *grouped_id,
                reply_to: *reply_to,
            };
            (*id, link)
        };
        list.iter().map(link).collect()
    }

    #[test]
    fn answers_and_albums_belong_to_what_they_answer() {
        let links = links(&[
            (1, None, None),
            (2, Some(1), None),
            (3, None, Some(5)),
            (4, Some(2), Some(5)),
            (6, None, None),
            // Of one that nobody knows.
            (7, Some(99), None),
            (8, Some(99), None),
            // Circles end.
            (9, Some(10), None),
            (10, Some(9), None),
            (11, Some(11), None),
        ]);
        assert_eq!(
            units(&links),
            [
                vec![1, 2, 3, 4],
                vec![6],
                vec![7],
                vec![8],
                vec![9, 10],
                vec![11]
            ]
        );
    }

    #[test]
    fn a_long_conversation_is_no_thread_but_its_albums_stay_whole() {
        let many = i32::try_from(LONGEST_THREAD).unwrap();
        let mut list: Vec<_> = (2..=many).map(|id| (id, Some(id - 1), None)).collect();
        list.extend([(1, None, Some(7))]);
        assert_eq!(units(&links(&list)).len(), 1);
        assert_eq!(open(&links(&list)).len(), LONGEST_THREAD);
        list.push((500, None, Some(7)));
        let apart = units(&links(&list));
        assert_eq!(apart.len(), LONGEST_THREAD);
        assert!(apart.contains(&vec![1, 500]));
        assert!(open(&links(&list)).is_empty());
    }
}
