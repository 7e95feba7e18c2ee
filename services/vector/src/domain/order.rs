use std::cmp::Ordering;

use touchstone_types::ChunkId;

/// The order of every list of hits: score descending, then id ascending.
pub fn best_first(a: (f32, ChunkId), b: (f32, ChunkId)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1))
}

/// Inverse document frequency, `ln((N - n + 0.5) / (n + 0.5) + 1)`: always above zero.
///
/// # Shapes
/// `points` is N, all points of a tenant in a collection; `with_term` is n, those with the term.
///
/// # Source
/// The IDF modifier of Qdrant's sparse vectors; Robertson and Zaragoza, *The Probabilistic
/// Relevance Framework: BM25 and Beyond*, 2009.
pub fn idf(points: usize, with_term: usize) -> f32 {
    let (all, some) = (points as f64, with_term.min(points) as f64);
    ((all - some + 0.5) / (some + 0.5)).ln_1p() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rarer_terms_weigh_more_and_no_term_weighs_nothing() {
        assert!(idf(100, 1) > idf(100, 50));
        assert!(idf(100, 100) > 0.0);
        assert!((idf(10, 3) - (7.5_f32 / 3.5 + 1.0).ln()).abs() < 1e-6);
    }
}
