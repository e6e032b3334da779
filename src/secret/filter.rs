//! A quick answer that no secret starts at a position.

/// A Bloom filter of prefixes: for most texts it answers, faster than a table, that no secret starts there.
pub(super) struct PrefixFilter(Vec<u64>);

impl PrefixFilter {
    /// The number of bits, as a power of two.
    const BITS: u32 = 18;

    fn position(prefix: u64) -> (usize, u64) {
        let hash = prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::BITS);
        (usize::try_from(hash / 64).unwrap_or(0), 1 << (hash % 64))
    }

    /// Adds a prefix.
    pub(super) fn add(&mut self, prefix: u64) {
        let (word, bit) = Self::position(prefix);
        self.0[word] |= bit;
    }

    /// Whether the prefix may have been added.
    pub(super) fn may_contain(&self, prefix: u64) -> bool {
        let (word, bit) = Self::position(prefix);
        self.0[word] & bit != 0
    }
}

impl FromIterator<u64> for PrefixFilter {
    fn from_iter<I: IntoIterator<Item = u64>>(prefixes: I) -> Self {
        let mut filter = Self::default();
        prefixes.into_iter().for_each(|prefix| filter.add(prefix));
        filter
    }
}

impl Default for PrefixFilter {
    fn default() -> Self {
        Self(vec![0; 1 << (Self::BITS - 6)])
    }
}
