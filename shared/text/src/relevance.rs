//! How well a passage or a sentence answers a question, without a model.
//!
//! A [`Question`] is analysed once and then finds its terms in any number of texts. Scores are
//! comparable between texts for the same question only.
//!
//! ```
//! use touchstone_text::relevance::{Question, best_sentence};
//!
//! let question = Question::new("How long is the Nile?");
//! let text = "It rains little there. The Nile is 6,650 km long. Boats are common.";
//! let (span, _) = best_sentence(&question, text, touchstone_text::Language::En).unwrap();
//! assert_eq!(span.of(text), Some("The Nile is 6,650 km long."));
//! ```

mod expectation;
mod locate;
mod question;
mod score;

pub use expectation::Expectation;
pub use locate::{Located, Occurrence};
pub use question::{Question, Term};
pub use score::{
    Overlap, Scoring, SentenceScore, best_located, best_sentence, score_located, score_sentence,
    score_sentences,
};
