//! Reads safetensors files, one tensor at a time, with every offset checked.
//!
//! Nothing is mapped: a mapping would be undefined behaviour when the file changes below it. Only
//! the tensor that is being read is held twice.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::runtime::LoadError;

/// Longest header that is read, as in the reference implementation.
const HEADER_LIMIT_BYTES: u64 = 100_000_000;

/// The tensors of a model's folder.
#[derive(Debug)]
pub struct Weights {
    files: Vec<(String, File)>,
    entries: HashMap<String, Entry>,
    loaded_bytes: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    file: usize,
    dtype: DType,
    shape: Vec<usize>,
    start: u64,
    length: usize,
}

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl Weights {
    /// Reads the headers of every `*.safetensors` file in `folder`.
    pub fn open(folder: &Path) -> Result<Self, LoadError> {
        let mut weights = Self {
            files: Vec::new(),
            entries: HashMap::new(),
            loaded_bytes: 0,
        };
        for name in super::folder::weight_files(folder)? {
            weights.add(folder, name)?;
        }
        if weights.files.is_empty() {
            return Err(LoadError::Missing("*.safetensors".to_owned()));
        }
        Ok(weights)
    }

    fn add(&mut self, folder: &Path, name: String) -> Result<(), LoadError> {
        let unreadable = |source| LoadError::Unreadable {
            file: name.clone(),
            source,
        };
        let damaged = |reason: &str| LoadError::Damaged {
            file: name.clone(),
            reason: reason.to_owned(),
        };
        let mut file = File::open(folder.join(&name)).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let mut length = [0_u8; 8];
        file.read_exact(&mut length)
            .map_err(|_| damaged("shorter than its header"))?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_LIMIT_BYTES || length > size.saturating_sub(8) {
            return Err(damaged("its header claims more bytes than the file has"));
        }
        let mut header = vec![0_u8; usize::try_from(length).unwrap_or(0)];
        file.read_exact(&mut header).map_err(unreadable)?;
        let header: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&header).map_err(|_| damaged("its header is not JSON"))?;
        let data_start = 8 + length;
        let data_size = size - data_start;
        let mut furthest = 0;
        for (tensor, described) in header {
            if tensor == "__metadata__" {
                continue;
            }
            let described: Described = serde_json::from_value(described)
                .map_err(|_| damaged(&format!("its header describes `{tensor}` wrongly")))?;
            let (start, end) = described.data_offsets;
            let Some(dtype) = dtype(&described.dtype) else {
                // Position ids and other leftovers may be of types that no layer reads.
                furthest = furthest.max(end);
                continue;
            };
            let expected = described
                .shape
                .iter()
                .try_fold(dtype.size_in_bytes(), |product, side| {
                    product.checked_mul(*side)
                });
            let fits = start <= end && end <= data_size;
            if !fits || expected.is_none_or(|bytes| bytes as u64 != end - start) {
                return Err(damaged(&format!("`{tensor}` does not lie inside the file")));
            }
            furthest = furthest.max(end);
            self.entries.entry(tensor).or_insert(Entry {
                file: self.files.len(),
                dtype,
                shape: described.shape,
                start: data_start + start,
                length: expected.unwrap_or(0),
            });
        }
        if furthest != data_size {
            return Err(damaged("its length differs from what its header says"));
        }
        self.files.push((name, file));
        Ok(())
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// What stands before `suffix` in the name of the first tensor that ends with it.
    pub fn prefix_of(&self, suffix: &str) -> Option<String> {
        self.entries
            .keys()
            .filter_map(|name| name.strip_suffix(suffix))
            .min()
            .map(str::to_owned)
    }

    /// Shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Reads a tensor as `f32` and checks its shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let wrong = |reason: String| LoadError::Tensor {
            name: name.to_owned(),
            reason,
        };
        let entry = self
            .entries
            .get(name)
            .cloned()
            .ok_or_else(|| wrong("is missing".to_owned()))?;
        if entry.shape != shape {
            return Err(wrong(format!(
                "has the shape {:?}, expected {shape:?}",
                entry.shape
            )));
        }
        let (file_name, file) = &mut self.files[entry.file];
        let mut bytes = vec![0_u8; entry.length];
        file.seek(SeekFrom::Start(entry.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| LoadError::Unreadable {
                file: file_name.clone(),
                source,
            })?;
        let tensor = Tensor::from_raw_buffer(&bytes, entry.dtype, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32))
            .map_err(|error| wrong(error.to_string()))?;
        self.loaded_bytes += (tensor.elem_count() * size_of::<f32>()) as u64;
        Ok(tensor)
    }

    /// Bytes of all tensors read so far.
    pub const fn loaded_bytes(&self) -> u64 {
        self.loaded_bytes
    }
}

fn dtype(name: &str) -> Option<DType> {
    match name {
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        "F64" => Some(DType::F64),
        _ => None,
    }
}
