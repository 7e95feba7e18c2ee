//! Sentences, words, languages and stems.
