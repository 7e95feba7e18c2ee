/// A fixed set of slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// No slot of `len`.
    pub(super) fn none(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    /// The slots below `len` for which `keep` holds.
    pub(super) fn from_fn(len: usize, keep: impl Fn(usize) -> bool) -> Self {
        let mut bits = Self::none(len);
        for slot in (0..len).filter(|slot| keep(*slot)) {
            bits.set(slot);
        }
        bits
    }

    pub(super) fn set(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The slots of the set, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    index * 64 + bit
                })
            })
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_exactly_what_was_set() {
        let bits = Bits::from_fn(200, |slot| slot % 63 == 0);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 126, 189]);
        assert_eq!(bits.count(), 4);
        assert!(bits.has(126) && !bits.has(127));
    }
}
