//! How sure the first hit can be taken for an answer.

use super::rerank::Features;

/// What the estimate is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Features of the first hit.
    pub first: Features,
    /// Share of the first score by which it leads the second hit, 0 to 1.
    pub lead: f32,
}

/// Probability-like estimate that the first hit answers, 0 to 1.
///
/// A logistic function of coverage, best sentence, nearness and lead, fitted on questions whose
/// answer was taken out of the collection against the same questions with it.
pub fn confidence(evidence: &Evidence) -> f32 {
    let Evidence { first, lead } = evidence;
    let sum = BIAS
        + COVERAGE * first.coverage
        + SENTENCE * first.sentence
        + PROXIMITY * first.proximity
        + LEAD * lead.clamp(0.0, 1.0);
    1.0 / (1.0 + (-sum).exp())
}

const BIAS: f32 = -6.0;
const COVERAGE: f32 = 3.0;
const SENTENCE: f32 = 5.0;
const PROXIMITY: f32 = 1.0;
const LEAD: f32 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_evidence_is_more_confidence() {
        let nothing = confidence(&Evidence::default());
        let strong = Evidence {
            first: Features {
                coverage: 0.9,
                sentence: 0.8,
                proximity: 0.7,
                ..Features::default()
            },
            lead: 0.3,
        };
        assert!(nothing < 0.05, "{nothing}");
        assert!(confidence(&strong) > 0.8, "{}", confidence(&strong));
        assert!(
            confidence(&Evidence {
                lead: 0.0,
                ..strong
            }) < confidence(&strong)
        );
    }
}
