use std::collections::BTreeSet;

use super::CollectionName;
use super::name::is_name;
use crate::error::Error;

/// Most sparse vectors that a collection may name.
const MAX_SPARSE_NAMES: usize = 8;
/// Longest dense vector.
const MAX_DIMENSION: usize = 8192;
/// Longest model name.
const MAX_MODEL_CHARS: usize = 256;

/// The dense side of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Model that makes the vectors.
    pub model: String,
    /// Length of a vector.
    pub dimension: usize,
}

/// What a collection holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// Dense vectors, if any.
    pub dense: Option<Dense>,
    /// Names of the sparse vectors; the position of a name is its number in the index.
    pub sparse: Vec<String>,
}

impl Definition {
    /// Checks a wish from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        if let Some(dense) = &self.dense {
            if dense.model.trim().is_empty() || dense.model.chars().count() > MAX_MODEL_CHARS {
                return Err(Error::invalid(
                    "dense.model",
                    "must have 1 to 256 characters",
                ));
            }
            if dense.model.contains('\0') {
                return Err(Error::invalid("dense.model", "must not contain NUL"));
            }
            if !(1..=MAX_DIMENSION).contains(&dense.dimension) {
                return Err(Error::invalid("dense.dimension", "must be 1 to 8192"));
            }
        }
        if self.sparse.len() > MAX_SPARSE_NAMES {
            return Err(Error::invalid("sparse", "must name at most 8 vectors"));
        }
        let unique: BTreeSet<_> = self.sparse.iter().collect();
        if unique.len() != self.sparse.len() {
            return Err(Error::invalid("sparse", "must not repeat a name"));
        }
        if !self.sparse.iter().all(|name| is_name(name)) {
            return Err(Error::invalid(
                "sparse",
                "names must be 1 to 64 characters of `a-z`, `0-9`, `_` and `-`",
            ));
        }
        if self.dense.is_none() && self.sparse.is_empty() {
            return Err(Error::invalid(
                "sparse",
                "a collection needs at least one kind of vector",
            ));
        }
        Ok(())
    }

    /// What the collection becomes when somebody confirms it as `wanted`.
    ///
    /// A wish without a dense side says nothing about it; a collection without one gains it once.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] or [`Error::SparseMismatch`] when it was built otherwise.
    pub fn confirm(&self, name: &CollectionName, wanted: &Self) -> Result<Self, Error> {
        let ours: BTreeSet<_> = self.sparse.iter().collect();
        let theirs: BTreeSet<_> = wanted.sparse.iter().collect();
        if ours != theirs {
            return Err(Error::SparseMismatch {
                collection: name.to_string(),
                built: self.sparse.join(", "),
                wanted: wanted.sparse.join(", "),
            });
        }
        let dense = match (&self.dense, &wanted.dense) {
            (Some(built), Some(wanted)) if built != wanted => {
                return Err(Error::ModelMismatch {
                    collection: name.to_string(),
                    built: built.model.clone(),
                    built_dimension: built.dimension,
                    wanted: wanted.model.clone(),
                    wanted_dimension: wanted.dimension,
                });
            }
            (Some(built), _) => Some(built.clone()),
            (None, wanted) => wanted.clone(),
        };
        Ok(Self {
            dense,
            sparse: self.sparse.clone(),
        })
    }

    /// Number of a sparse vector.
    pub fn sparse_number(&self, name: &str) -> Option<usize> {
        self.sparse.iter().position(|known| known == name)
    }

    /// Length of a dense vector, if there is a dense side.
    pub fn dimension(&self) -> Option<usize> {
        self.dense.as_ref().map(|dense| dense.dimension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(dense: Option<(&str, usize)>, sparse: &[&str]) -> Definition {
        Definition {
            dense: dense.map(|(model, dimension)| Dense {
                model: model.to_owned(),
                dimension,
            }),
            sparse: sparse.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn gains_a_dense_side_once() {
        let name = CollectionName::parse("chunks").unwrap();
        let lexical = definition(None, &["bm25", "chars"]);
        let with_model = definition(Some(("e5", 384)), &["chars", "bm25"]);
        let grown = lexical.confirm(&name, &with_model).unwrap();
        assert_eq!(grown, definition(Some(("e5", 384)), &["bm25", "chars"]));
        assert_eq!(grown.confirm(&name, &lexical).unwrap(), grown);

        let other = definition(Some(("minilm", 384)), &["bm25", "chars"]);
        let message = grown.confirm(&name, &other).unwrap_err().to_string();
        assert!(
            message.contains("touchstone reindex") && message.contains("e5"),
            "{message}"
        );
        let longer = definition(Some(("e5", 768)), &["bm25", "chars"]);
        assert!(matches!(
            grown.confirm(&name, &longer),
            Err(Error::ModelMismatch { .. })
        ));
    }

    #[test]
    fn refuses_other_sparse_names() {
        let name = CollectionName::parse("chunks").unwrap();
        let built = definition(None, &["bm25"]);
        let refused = built.confirm(&name, &definition(None, &["bm25", "chars"]));
        assert!(matches!(refused, Err(Error::SparseMismatch { .. })));
    }

    #[test]
    fn refuses_definitions_that_hold_nothing_or_nonsense() {
        for bad in [
            definition(None, &[]),
            definition(Some(("", 3)), &[]),
            definition(Some(("m", 0)), &[]),
            definition(Some(("m", 8193)), &[]),
            definition(None, &["a", "a"]),
            definition(None, &["A b"]),
            definition(None, &["a", "b", "c", "d", "e", "f", "g", "h", "i"]),
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
