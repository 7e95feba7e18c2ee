use touchstone_types::SparseVector;

use crate::error::Error;

/// Most dimensions of a sparse vector that are not zero.
pub const MAX_NON_ZEROS: usize = 4096;
/// Largest absolute weight; keeps every score finite.
pub const MAX_WEIGHT: f32 = 1e6;

/// Checks a sparse vector from outside; an empty one is allowed (a chunk without words).
///
/// # Errors
/// [`Error::BadVector`] says what is wrong; `place` is where the vector stands in the request.
pub fn check_sparse(vector: &SparseVector, place: impl Fn() -> String) -> Result<(), Error> {
    let bad = |reason: String| {
        Err(Error::BadVector {
            place: place(),
            reason,
        })
    };
    if let Err(error) = vector.validate() {
        return bad(error.to_string());
    }
    if vector.len() > MAX_NON_ZEROS {
        return bad(format!("has more than {MAX_NON_ZEROS} non-zeros"));
    }
    if vector.values.iter().any(|weight| weight.abs() > MAX_WEIGHT) {
        return bad(format!("a weight is beyond {MAX_WEIGHT}"));
    }
    Ok(())
}

/// Checks a dense vector from outside.
///
/// # Errors
/// [`Error::Dimension`] for a wrong length, [`Error::BadVector`] for NaN, infinity or all zeros.
pub fn check_dense(
    vector: &[f32],
    dimension: usize,
    place: impl Fn() -> String,
) -> Result<(), Error> {
    if vector.len() != dimension {
        return Err(Error::Dimension {
            place: place(),
            expected: dimension,
            got: vector.len(),
        });
    }
    let bad = |reason: &str| {
        Err(Error::BadVector {
            place: place(),
            reason: reason.to_owned(),
        })
    };
    if vector.iter().any(|value| !value.is_finite()) {
        return bad("values must be finite");
    }
    if vector.iter().all(|value| *value == 0.0) {
        return bad("a vector of zeros has no direction");
    }
    Ok(())
}

/// The vector at length one.
pub fn normalised(vector: &[f32]) -> Vec<f32> {
    let squares: f64 = vector
        .iter()
        .map(|value| f64::from(*value) * f64::from(*value))
        .sum();
    let norm = squares.sqrt();
    vector
        .iter()
        .map(|value| (f64::from(*value) / norm) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> String {
        "here".to_owned()
    }

    #[test]
    fn refuses_dense_vectors_without_direction() {
        assert!(check_dense(&[0.5, 0.0], 2, place).is_ok());
        for bad in [
            vec![f32::NAN, 1.0],
            vec![f32::INFINITY, 1.0],
            vec![0.0, -0.0],
        ] {
            assert!(
                matches!(check_dense(&bad, 2, place), Err(Error::BadVector { .. })),
                "{bad:?}"
            );
        }
        assert!(matches!(
            check_dense(&[1.0], 2, place),
            Err(Error::Dimension { .. })
        ));
    }

    #[test]
    fn refuses_sparse_vectors_that_could_overflow() {
        let one = |value| SparseVector {
            indices: vec![1],
            values: vec![value],
        };
        assert!(check_sparse(&one(3.0), place).is_ok());
        assert!(check_sparse(&SparseVector::default(), place).is_ok());
        assert!(check_sparse(&one(2e6), place).is_err());
        assert!(check_sparse(&one(f32::NAN), place).is_err());
    }

    #[test]
    fn normalises_even_the_smallest_and_the_largest() {
        for scale in [1e-38_f32, 1.0, 5e37] {
            let unit = normalised(&[3.0 * scale, 4.0 * scale]);
            assert!(
                (unit[0] - 0.6).abs() < 1e-6 && (unit[1] - 0.8).abs() < 1e-6,
                "{unit:?}"
            );
        }
    }
}
