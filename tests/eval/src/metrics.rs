use crate::Query;

/// The documents a system returned for one question, best first: indices into the collection.
pub type Ranking = Vec<usize>;

/// Normalised discounted cumulative gain of the first `k`, graded, in 0 to 1.
///
/// # Source
/// Järvelin, Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, 2002; gains are the
/// grades themselves, as in `trec_eval`.
pub fn ndcg(query: &Query, ranking: &[usize], k: usize) -> f64 {
    let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let gain: f64 = ranking
        .iter()
        .take(k)
        .enumerate()
        .map(|(rank, document)| f64::from(grade(query, *document)) * discount(rank))
        .sum();
    let mut grades: Vec<u32> = query.relevant.iter().map(|gold| gold.grade).collect();
    grades.sort_unstable_by(|a, b| b.cmp(a));
    let ideal: f64 = grades
        .iter()
        .take(k)
        .enumerate()
        .map(|(rank, grade)| f64::from(*grade) * discount(rank))
        .sum();
    if ideal > 0.0 { gain / ideal } else { 0.0 }
}

/// One over the rank of the first relevant document among the first `k`; 0 without one.
pub fn reciprocal_rank(query: &Query, ranking: &[usize], k: usize) -> f64 {
    ranking
        .iter()
        .take(k)
        .position(|document| grade(query, *document) > 0)
        .map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0))
}

/// 1 when the first document is relevant, else 0.
pub fn precision_at_1(query: &Query, ranking: &[usize]) -> f64 {
    reciprocal_rank(query, ranking, 1)
}

/// Share of the relevant documents among the first `k`.
pub fn recall(query: &Query, ranking: &[usize], k: usize) -> f64 {
    let found = ranking
        .iter()
        .take(k)
        .filter(|document| grade(query, **document) > 0)
        .count();
    if query.relevant.is_empty() {
        0.0
    } else {
        found as f64 / query.relevant.len() as f64
    }
}

fn grade(query: &Query, document: usize) -> u32 {
    query
        .relevant
        .iter()
        .find(|gold| gold.document == document)
        .map_or(0, |gold| gold.grade)
}

/// Means over many questions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Questions.
    pub queries: usize,
    /// Mean nDCG@10.
    pub ndcg_at_10: f64,
    /// Mean reciprocal rank of the first ten.
    pub mrr_at_10: f64,
    /// Share with a relevant first document.
    pub precision_at_1: f64,
    /// Mean recall of the first ten.
    pub recall_at_10: f64,
    /// Mean recall of the first hundred.
    pub recall_at_100: f64,
    sums: [f64; 5],
}

impl Summary {
    /// Takes one more question in.
    pub fn add(&mut self, query: &Query, ranking: &[usize]) {
        self.queries += 1;
        for (sum, value) in self.sums.iter_mut().zip([
            ndcg(query, ranking, 10),
            reciprocal_rank(query, ranking, 10),
            precision_at_1(query, ranking),
            recall(query, ranking, 10),
            recall(query, ranking, 100),
        ]) {
            *sum += value;
        }
        let mean = |at: usize| self.sums[at] / self.queries as f64;
        self.ndcg_at_10 = mean(0);
        self.mrr_at_10 = mean(1);
        self.precision_at_1 = mean(2);
        self.recall_at_10 = mean(3);
        self.recall_at_100 = mean(4);
    }
}

impl<'a> FromIterator<(&'a Query, Ranking)> for Summary {
    fn from_iter<I: IntoIterator<Item = (&'a Query, Ranking)>>(runs: I) -> Self {
        let mut summary = Self::default();
        for (query, ranking) in runs {
            summary.add(query, &ranking);
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Gold;

    fn query(relevant: &[(usize, u32)]) -> Query {
        let gold = |(document, grade): &(usize, u32)| Gold {
            document: *document,
            grade: *grade,
            answer: None,
        };
        Query {
            id: String::new(),
            text: String::new(),
            relevant: relevant.iter().map(gold).collect(),
        }
    }

    #[test]
    fn known_values() {
        let one = query(&[(7, 1)]);
        assert!((ndcg(&one, &[7, 1], 10) - 1.0).abs() < 1e-12);
        assert!((ndcg(&one, &[1, 7], 10) - 0.630_929_753_571_457_4).abs() < 1e-12);
        assert!(ndcg(&one, &[1, 2], 10).abs() < 1e-12);
        assert!((reciprocal_rank(&one, &[1, 2, 7], 10) - 1.0 / 3.0).abs() < 1e-12);
        let graded = query(&[(1, 2), (2, 1)]);
        let expected = (1.0 + 2.0 * 0.630_929_753_571_457_4) / (2.0 + 0.630_929_753_571_457_4);
        assert!((ndcg(&graded, &[2, 1], 10) - expected).abs() < 1e-12);
        assert!((recall(&graded, &[2, 9], 2) - 0.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn metrics_stay_between_zero_and_one(ranking in Just((0..30_usize).collect::<Vec<_>>()).prop_shuffle(), gold in prop::collection::btree_map(0..40_usize, 1..4_u32, 1..6)) {
            let query = query(&gold.into_iter().collect::<Vec<_>>());
            for value in [ndcg(&query, &ranking, 10), reciprocal_rank(&query, &ranking, 10), recall(&query, &ranking, 10)] {
                prop_assert!((0.0..=1.0 + 1e-9).contains(&value));
            }
        }
    }
}
