//! Addresses in a target, as types that arithmetic on host numbers cannot slip into.

use std::fmt;

/// An address as the target's own code uses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetAddr(u64);

impl TargetAddr {
    /// The address `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `len_bytes` further on, or `None` past the end of the address space.
    #[must_use]
    pub const fn checked_add(self, len_bytes: u64) -> Option<Self> {
        match self.0.checked_add(len_bytes) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl fmt::Display for TargetAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for TargetAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A range of target addresses that is known not to wrap around the address space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddrRange {
    start: TargetAddr,
    len_bytes: u64,
}

impl AddrRange {
    /// The `len_bytes` bytes from `start`, or `None` if they pass the end of the address space.
    #[must_use]
    pub const fn new(start: TargetAddr, len_bytes: u64) -> Option<Self> {
        match start.checked_add(len_bytes) {
            Some(_) => Some(Self { start, len_bytes }),
            None => None,
        }
    }

    /// The first address.
    #[must_use]
    pub const fn start(self) -> TargetAddr {
        self.start
    }

    /// The length in bytes.
    #[must_use]
    pub const fn len_bytes(self) -> u64 {
        self.len_bytes
    }

    /// The first address after the range.
    #[must_use]
    pub const fn end(self) -> TargetAddr {
        TargetAddr(self.start.0 + self.len_bytes)
    }

    /// Whether the range holds no byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len_bytes == 0
    }

    /// Whether `addr` lies in the range.
    #[must_use]
    pub const fn contains(self, addr: TargetAddr) -> bool {
        addr.0 >= self.start.0 && addr.0 - self.start.0 < self.len_bytes
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_never_wraps() {
        assert!(AddrRange::new(TargetAddr::new(u64::MAX), 1).is_none());
        let last = AddrRange::new(TargetAddr::new(u64::MAX - 4), 4).expect("fits");
        assert_eq!(last.end().get(), u64::MAX);
    }

    #[test]
    fn a_range_contains_its_start_and_not_its_end() {
        let range = AddrRange::new(TargetAddr::new(0x2000_0000), 8).expect("fits");
        assert!(range.contains(range.start()));
        assert!(range.contains(TargetAddr::new(0x2000_0007)));
        assert!(!range.contains(range.end()));
        assert!(!range.contains(TargetAddr::new(0x1fff_ffff)));
        assert_eq!(range.to_string(), "0x20000000..0x20000008");
    }
}
