/// A stable index for a string: FNV-1a with a final mix, the same on every machine and release.
pub(super) fn index(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_never_change() {
        assert_eq!(index("river".bytes()), index("river".bytes()));
        assert_ne!(index("river".bytes()), index("rivers".bytes()));
    }
}
