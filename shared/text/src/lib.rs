//! Languages, sentences, words and stems: what every service that reads text agrees on.
//!
//! Layer 0: pure functions, no I/O, no configuration. All spans are byte offsets into the text that
//! was passed in and lie on character boundaries.
//!
//! ```
//! use touchstone_text::{Language, detect, sentences, terms};
//!
//! let text = "The Nile is 6,650 km long. It flows north.";
//! assert_eq!(detect(text), Language::En);
//! assert_eq!(sentences(text).len(), 2);
//! assert_eq!(terms("Rivers flowing", Language::En), ["river", "flow"]);
//! ```

mod detect;
mod language;
mod sentence;
mod stem;
mod stopwords;
mod word;

pub mod grams;
pub mod relevance;

pub use detect::{detect, detect_query};
pub use language::Language;
pub use sentence::sentences;
pub use stem::{for_each_term, normalize, stem, terms};
pub use stopwords::is_stopword;
pub use word::{Word, Words, words};
