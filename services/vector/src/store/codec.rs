//! Vectors as blobs.
//!
//! Dense: `f32` little endian. Sparse: one byte of format, then for each vector its number (one
//! byte), its length (varint), the indices as varint differences and the weights as `f32` little
//! endian.

use touchstone_types::SparseVector;

/// First byte of a sparse blob.
const FORMAT: u8 = 1;

/// Encodes the sparse vectors of a point by their numbers.
pub(super) fn encode_sparse<'a>(
    vectors: impl Iterator<Item = (usize, &'a SparseVector)>,
) -> Vec<u8> {
    let mut blob = vec![FORMAT];
    for (number, vector) in vectors {
        blob.push(number as u8);
        put_varint(&mut blob, vector.len() as u32);
        let mut last = 0;
        for index in &vector.indices {
            put_varint(&mut blob, index - last);
            last = *index;
        }
        blob.extend(vector.values.iter().flat_map(|value| value.to_le_bytes()));
    }
    blob
}

/// Decodes what [`encode_sparse`] wrote; the error says what does not fit.
pub(super) fn decode_sparse(
    blob: &[u8],
    names: usize,
) -> Result<Vec<(usize, SparseVector)>, &'static str> {
    let Some((&FORMAT, mut rest)) = blob.split_first() else {
        return Err("unknown format of sparse vectors");
    };
    let mut vectors = Vec::new();
    while let Some((number, tail)) = rest.split_first() {
        let number = usize::from(*number);
        if number >= names {
            return Err("a sparse vector without a name");
        }
        rest = tail;
        let length = take_varint(&mut rest).ok_or("a sparse vector is cut off")? as usize;
        if length > rest.len() {
            return Err("a sparse vector is cut off");
        }
        let mut vector = SparseVector::default();
        let mut last = 0_u32;
        for _ in 0..length {
            let step = take_varint(&mut rest).ok_or("a sparse vector is cut off")?;
            last = last.checked_add(step).ok_or("an index is out of range")?;
            vector.indices.push(last);
        }
        let (weights, tail) = rest
            .split_at_checked(length * 4)
            .ok_or("a sparse vector is cut off")?;
        vector.values = floats(weights).collect();
        vector
            .validate()
            .map_err(|_| "a sparse vector breaks its rules")?;
        rest = tail;
        vectors.push((number, vector));
    }
    Ok(vectors)
}

/// Encodes a dense vector.
pub(super) fn encode_dense(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Decodes a dense vector of a known length.
pub(super) fn decode_dense(
    blob: &[u8],
    dimension: Option<usize>,
) -> Result<Vec<f32>, &'static str> {
    if dimension.is_none_or(|dimension| blob.len() != dimension * 4) {
        return Err("a dense vector of the wrong length");
    }
    let vector: Vec<f32> = floats(blob).collect();
    let sound = vector.iter().all(|value| value.is_finite()) && vector.iter().any(|v| *v != 0.0);
    if sound {
        Ok(vector)
    } else {
        Err("a dense vector without direction")
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|chunk| f32::from_le_bytes(*chunk))
}

fn put_varint(blob: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        blob.push(value as u8 | 0x80);
        value >>= 7;
    }
    blob.push(value as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vectors() -> impl Strategy<Value = Vec<(usize, SparseVector)>> {
        let pairs = prop::collection::vec((any::<u32>(), -1e6_f32..1e6), 0..50);
        prop::collection::vec(pairs, 0..4).prop_map(|lists| {
            lists
                .into_iter()
                .map(SparseVector::from_pairs)
                .enumerate()
                .collect()
        })
    }

    proptest! {
        #[test]
        fn blobs_round_trip(vectors in vectors()) {
            let blob = encode_sparse(vectors.iter().map(|(number, vector)| (*number, vector)));
            prop_assert_eq!(decode_sparse(&blob, 4).unwrap(), vectors);
        }

        #[test]
        fn noise_is_an_error_or_a_vector_and_never_a_panic(
            mut noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = decode_sparse(&noise, 2);
            noise.insert(0, FORMAT);
            let _ = decode_sparse(&noise, 2);
            let _ = decode_dense(&noise, Some(3));
        }
    }

    #[test]
    fn a_cut_blob_is_an_error() {
        let vector = SparseVector {
            indices: vec![1, u32::MAX],
            values: vec![1.0, 2.0],
        };
        let blob = encode_sparse(std::iter::once((0, &vector)));
        assert!(decode_sparse(&blob[..blob.len() - 1], 1).is_err());
        assert!(decode_sparse(&[], 1).is_err());
        assert!(decode_dense(&encode_dense(&[1.0, 2.0])[..7], Some(2)).is_err());
    }
}
