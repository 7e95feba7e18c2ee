//! Our filters in Qdrant's words.

use qdrant_client::qdrant::{Condition, Range};
use touchstone_api::vector::Filter;

use super::payload::{fact, field};

/// The conditions of a filter, without the tenant's; `None` when it can match nothing.
pub(super) fn conditions(filter: &Filter) -> Option<Vec<Condition>> {
    let mut all = Vec::new();
    if let Some(ids) = &filter.document_ids {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        all.push(any(field::DOCUMENT, ids)?);
    }
    if let Some(version) = filter.version {
        all.push(Condition::matches(field::VERSION, i64::from(version)));
    }
    if let Some(version) = filter.version_below {
        all.push(Condition::range(
            field::VERSION,
            Range {
                lt: Some(f64::from(version)),
                ..Range::default()
            },
        ));
    }
    if let Some(languages) = &filter.languages {
        all.push(any(field::LANGUAGE, languages.clone())?);
    }
    if let Some(sources) = &filter.sources {
        let sources: Vec<String> = sources.iter().map(|s| s.as_str().to_owned()).collect();
        all.push(any(field::SOURCE, sources)?);
    }
    if filter.created_after.is_some() || filter.created_before.is_some() {
        all.push(Condition::range(
            field::CREATED_AT,
            Range {
                gte: filter.created_after.map(|at| micros(at.timestamp_micros())),
                lt: filter
                    .created_before
                    .map(|at| micros(at.timestamp_micros())),
                ..Range::default()
            },
        ));
    }
    for (name, value) in &filter.metadata {
        all.push(Condition::matches(field::FACTS, fact(name, value)));
    }
    Some(all)
}

/// One of the values; none of none.
fn any(key: &str, values: Vec<String>) -> Option<Condition> {
    (!values.is_empty()).then(|| Condition::matches(key, values))
}

/// Microseconds since 1970 are exact in a double until the year 2255.
fn micros(micros: i64) -> f64 {
    micros as f64
}
