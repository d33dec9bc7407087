//! Addresses as an ELF writes them, and the step from there to a target's addresses.

use std::fmt;

use covtap_link::{Endianness, PointerWidth, TargetAddr};

/// An address as the ELF writes it: before any slide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageAddr(u64);

impl ImageAddr {
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

impl fmt::Display for ImageAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for ImageAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// How far an image was moved when it was loaded: 0 for an image that runs where it was linked.
///
/// A move downwards is its two's complement; the sum wraps at the target's pointer width.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Slide(u64);

impl Slide {
    /// The image runs where it was linked.
    pub const ZERO: Self = Self(0);

    /// A move by `value` bytes.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The move that takes `linked` to `loaded`.
    #[must_use]
    pub const fn between(linked: ImageAddr, loaded: TargetAddr) -> Self {
        Self(loaded.get().wrapping_sub(linked.get()))
    }

    /// The move as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Where `addr` is in a target with pointers of `width`.
    #[must_use]
    pub const fn apply(self, addr: ImageAddr, width: PointerWidth) -> TargetAddr {
        TargetAddr::new(wrap(addr.0.wrapping_add(self.0), width))
    }
}

impl fmt::Display for Slide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Cuts `value` to the width of a pointer, as the target's own arithmetic does.
pub(crate) const fn wrap(value: u64, width: PointerWidth) -> u64 {
    match width {
        PointerWidth::Bits32 => value & 0xffff_ffff,
        PointerWidth::Bits64 => value,
    }
}

/// The number in at most 8 bytes.
pub(crate) fn uint(bytes: &[u8], endianness: Endianness) -> u64 {
    let append = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    match endianness {
        Endianness::Little => bytes.iter().rev().fold(0, append),
        Endianness::Big => bytes.iter().fold(0, append),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slide_wraps_at_the_pointer_width() {
        let linked = ImageAddr::new(0xc000_8000);
        let down = Slide::between(linked, TargetAddr::new(0x8000));
        assert_eq!(down.apply(linked, PointerWidth::Bits32).get(), 0x8000);
        assert_eq!(down.apply(linked, PointerWidth::Bits64).get(), 0x8000);
        let up = Slide::new(0x8000_0000);
        assert_eq!(up.apply(linked, PointerWidth::Bits32).get(), 0x4000_8000);
    }
}
