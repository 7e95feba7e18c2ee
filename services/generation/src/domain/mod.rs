//! Pure rules: ranking sentences, building prompts, checking citations, writing like a model.

pub mod abstain;
pub mod cues;
pub mod extract;
pub mod facts;
pub mod gate;
pub mod grams;
pub mod markdown;
pub mod marks;
pub mod passage;
pub mod prompt;
pub mod quotes;
pub mod rank;
pub mod sanitize;
pub mod simulate;
pub mod splitter;
pub mod terms;
pub mod tokens;
