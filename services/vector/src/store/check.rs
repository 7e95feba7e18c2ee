use std::collections::HashSet;

use touchstone_api::vector::{Point, QueryVector};

use crate::domain::{CollectionName, Definition, check_dense, check_sparse, normalised};
use crate::error::Error;
use crate::index::Signal;

/// Checks points against the collection that shall hold them.
pub(super) fn check_points(
    name: &CollectionName,
    definition: &Definition,
    points: &[Point],
) -> Result<(), Error> {
    let mut ids = HashSet::with_capacity(points.len());
    for (number, point) in points.iter().enumerate() {
        if !ids.insert(point.id) {
            return Err(Error::DuplicatePoint(point.id));
        }
        let (start, end) = (point.payload.start, point.payload.end);
        if start > end || i64::try_from(end).is_err() {
            let rule = format!("`points[{number}]`: must not lie before `start` nor beyond 2^63");
            return Err(Error::invalid("payload.end", rule));
        }
        for (sparse, vector) in &point.sparse {
            let place = || format!("`points[{number}].sparse.{sparse}`");
            if definition.sparse_number(sparse).is_none() {
                return Err(unknown_sparse(place(), name, sparse));
            }
            check_sparse(vector, place)?;
        }
        if let Some(vector) = &point.dense {
            let place = || format!("`points[{number}].dense`");
            check_dense(vector, dimension(name, definition, place)?, place)?;
        }
    }
    Ok(())
}

/// Translates the signals of a query for the index.
pub(super) fn signals(
    name: &CollectionName,
    definition: &Definition,
    queries: Vec<QueryVector>,
) -> Result<Vec<Signal>, Error> {
    let signal = |(number, query): (usize, QueryVector)| match query {
        QueryVector::Dense(vector) => {
            let place = || format!("`queries[{number}].dense`");
            check_dense(&vector, dimension(name, definition, place)?, place)?;
            Ok(Signal::Dense(normalised(&vector)))
        }
        QueryVector::Sparse(query) => {
            let place = || format!("`queries[{number}].sparse`");
            let Some(sparse) = definition.sparse_number(&query.name) else {
                return Err(unknown_sparse(place(), name, &query.name));
            };
            check_sparse(&query.vector, place)?;
            Ok(Signal::Sparse(sparse, query.vector))
        }
    };
    queries.into_iter().enumerate().map(signal).collect()
}

fn dimension(
    name: &CollectionName,
    definition: &Definition,
    place: impl Fn() -> String,
) -> Result<usize, Error> {
    definition.dimension().ok_or_else(|| Error::NoDense {
        place: place(),
        collection: name.to_string(),
    })
}

fn unknown_sparse(place: String, collection: &CollectionName, name: &str) -> Error {
    // The name comes from outside: only its beginning is repeated.
    let name = name.chars().take(64).collect();
    Error::UnknownSparse {
        place,
        collection: collection.to_string(),
        name,
    }
}
