use touchstone_api::retrieval::{SearchFilter, SearchMode, SearchRequest};
use touchstone_api::vector::Filter;

use crate::{Config, Error};

const MAX_QUERY_CHARS: usize = 2000;
const MAX_LIMIT: usize = 100;
/// Most values of another field of a filter; vector takes no more.
const MAX_VALUES: usize = 100;
const MAX_DOCUMENTS: usize = 1000;
const CONTEXT_CHARS: std::ops::RangeInclusive<usize> = 200..=100_000;

/// A search request that holds its rules, with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) text: String,
    pub(super) limit: usize,
    pub(super) mode: SearchMode,
    pub(super) filter: Filter,
    pub(super) rerank: bool,
    pub(super) lambda: f32,
    pub(super) expand: bool,
    pub(super) explain: bool,
    pub(super) context_chars: Option<usize>,
}

impl Query {
    /// Checks a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub fn parse(request: SearchRequest, config: &Config) -> Result<Self, Error> {
        let chars = request.query.chars().count();
        if !(1..=MAX_QUERY_CHARS).contains(&chars) {
            return Err(Error::invalid("query", "must have 1 to 2000 characters"));
        }
        let limit = request.limit.unwrap_or(config.default_limit);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::invalid("limit", "must be between 1 and 100"));
        }
        let lambda = request.diversity.unwrap_or(config.diversity.lambda);
        if !(0.0..=1.0).contains(&lambda) {
            return Err(Error::invalid("diversity", "must be between 0 and 1"));
        }
        if request
            .context_chars
            .is_some_and(|chars| !CONTEXT_CHARS.contains(&chars))
        {
            return Err(Error::invalid(
                "context_chars",
                "must be between 200 and 100000",
            ));
        }
        let filter = request.filter.unwrap_or_default();
        if filter
            .document_ids
            .as_ref()
            .is_some_and(|ids| ids.len() > MAX_DOCUMENTS)
        {
            return Err(Error::invalid(
                "filter.document_ids",
                "must have at most 1000 ids",
            ));
        }
        let languages = filter.languages.as_ref().map_or(0, Vec::len);
        let sources = filter.sources.as_ref().map_or(0, Vec::len);
        for (field, length) in [
            ("filter.languages", languages),
            ("filter.sources", sources),
            ("filter.metadata", filter.metadata.len()),
        ] {
            if length > MAX_VALUES {
                return Err(Error::invalid(field, "must have at most 100 values"));
            }
        }
        // Features are lexical: who asks for dense alone gets them only on request.
        let rerank = config.rerank.enabled && request.mode != SearchMode::Dense;
        Ok(Self {
            text: request.query,
            limit,
            mode: request.mode,
            filter: to_filter(filter),
            rerank: request.rerank.unwrap_or(rerank),
            lambda,
            expand: request.expand.unwrap_or(config.expansion.enabled),
            explain: request.explain,
            context_chars: request.context_chars,
        })
    }
}

fn to_filter(filter: SearchFilter) -> Filter {
    let SearchFilter {
        document_ids,
        languages,
        sources,
        created_after,
        created_before,
        metadata,
    } = filter;
    Filter {
        document_ids,
        languages,
        sources,
        created_after,
        created_before,
        metadata,
        ..Filter::default()
    }
}
