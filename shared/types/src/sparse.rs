use serde::{Deserialize, Serialize};

/// A sparse vector: strictly increasing indices with their weights.
///
/// # Shapes
/// `indices` and `values` have the same length; indices are unique and sorted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SparseVector {
    /// Dimensions that are not zero, ascending.
    pub indices: Vec<u32>,
    /// The weight of each of them.
    pub values: Vec<f32>,
}

/// Why two lists are no sparse vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SparseVectorError {
    /// The lists differ in length.
    #[error("`indices` and `values` differ in length")]
    Length,
    /// Indices repeat or are out of order.
    #[error("`indices` must be unique and ascending")]
    Order,
    /// A weight is NaN or infinite.
    #[error("`values` must be finite")]
    NotFinite,
}

impl SparseVector {
    /// Builds a vector from pairs in any order; weights of a repeated index are added.
    pub fn from_pairs(mut pairs: Vec<(u32, f32)>) -> Self {
        pairs.sort_unstable_by_key(|pair| pair.0);
        let mut vector = Self {
            indices: Vec::with_capacity(pairs.len()),
            values: Vec::with_capacity(pairs.len()),
        };
        for (index, value) in pairs {
            if vector.indices.last() == Some(&index) {
                if let Some(last) = vector.values.last_mut() {
                    *last += value;
                }
            } else {
                vector.indices.push(index);
                vector.values.push(value);
            }
        }
        vector
    }

    /// Checks what came from outside.
    pub fn validate(&self) -> Result<(), SparseVectorError> {
        if self.indices.len() != self.values.len() {
            return Err(SparseVectorError::Length);
        }
        if self.indices.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(SparseVectorError::Order);
        }
        if self.values.iter().any(|value| !value.is_finite()) {
            return Err(SparseVectorError::NotFinite);
        }
        Ok(())
    }

    /// The pairs, ascending by index.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.indices
            .iter()
            .copied()
            .zip(self.values.iter().copied())
    }

    /// Number of dimensions that are not zero.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether every dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_and_sorts_pairs() {
        let vector = SparseVector::from_pairs(vec![(9, 1.0), (2, 0.5), (9, 2.0)]);
        assert_eq!(
            vector,
            SparseVector {
                indices: vec![2, 9],
                values: vec![0.5, 3.0]
            }
        );
        assert_eq!(vector.validate(), Ok(()));
    }

    #[test]
    fn refuses_broken_vectors() {
        let broken =
            |indices: Vec<u32>, values: Vec<f32>| SparseVector { indices, values }.validate();
        assert_eq!(broken(vec![1], vec![]), Err(SparseVectorError::Length));
        assert_eq!(
            broken(vec![2, 2], vec![1.0, 1.0]),
            Err(SparseVectorError::Order)
        );
        assert_eq!(
            broken(vec![2], vec![f32::NAN]),
            Err(SparseVectorError::NotFinite)
        );
    }
}
