//! A list of values in target memory that begins in a counter region: where, and what its nodes look like.
//!
//! ```text
//! head      u64 total | u64 number of nodes | u64 address of the first node, 0 if there is none
//! node      u64 value | u64 count | pointer to the next node, null at the end
//! ```
//!
//! Source: `struct gcov_kvp` and `gcov_topn_add_value` in `libgcc/libgcov.h`, releases/gcc-12.

use covtap_link::{Endianness, PointerWidth, TargetAddr};

use crate::image::{uint, wrap};

const WORD_BYTES: usize = 8;

/// Where a list begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListHead {
    /// The index of the region.
    pub region: usize,
    /// In bytes from the region's start.
    pub offset: usize,
    /// The order of the bytes in a word.
    pub endianness: Endianness,
    /// The width of the target's pointers.
    pub pointer_width: PointerWidth,
}

impl ListHead {
    /// The length of a head.
    pub const BYTES: usize = 3 * WORD_BYTES;

    /// The length of what is read of a node.
    #[must_use]
    pub fn node_bytes(&self) -> usize {
        2 * WORD_BYTES + self.pointer_width.bytes()
    }

    /// How many nodes there are by the head: fewer than there are while one is added, and when threads race.
    #[must_use]
    pub fn num_nodes(&self, head: &[u8]) -> u64 {
        self.word(head, 1)
    }

    /// Where the first node is; 0 if there is none. On 32-bit targets the address may be extended by its sign.
    #[must_use]
    pub fn first(&self, head: &[u8]) -> u64 {
        wrap(self.word(head, 2), self.pointer_width)
    }

    /// Where the node after that one is; 0 if there is none.
    #[must_use]
    pub fn next(&self, node: &[u8]) -> u64 {
        uint(node.get(2 * WORD_BYTES..self.node_bytes()).unwrap_or_default(), self.endianness)
    }

    /// The value of a node and its count.
    #[must_use]
    pub fn pair(&self, node: &[u8]) -> (u64, u64) {
        (self.word(node, 0), self.word(node, 1))
    }

    /// A node's address; `None` if no node can be there.
    #[must_use]
    pub fn node_at(&self, address: u64) -> Option<TargetAddr> {
        let last = address.checked_add(self.node_bytes() as u64)?.checked_sub(1)?;
        let is_aligned = address.is_multiple_of(self.pointer_width.bytes() as u64);
        (is_aligned && wrap(last, self.pointer_width) == last).then(|| TargetAddr::new(address))
    }

    fn word(&self, bytes: &[u8], index: usize) -> u64 {
        uint(bytes.chunks_exact(WORD_BYTES).nth(index).unwrap_or_default(), self.endianness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(endianness: Endianness, pointer_width: PointerWidth) -> ListHead {
        ListHead { region: 0, offset: 0, endianness, pointer_width }
    }

    #[test]
    fn fields_are_read_in_either_order_and_width() {
        let narrow = head(Endianness::Big, PointerWidth::Bits32);
        // The address as the target extends it.
        let bytes: Vec<u8> =
            [9, 2, 0xffff_ffff_8000_0010_u64].into_iter().flat_map(u64::to_be_bytes).collect();
        assert_eq!((narrow.num_nodes(&bytes), narrow.first(&bytes)), (2, 0x8000_0010));
        let node = [&7u64.to_be_bytes()[..], &5u64.to_be_bytes(), &0x2000_0004u32.to_be_bytes()].concat();
        assert_eq!(node.len(), narrow.node_bytes());
        assert_eq!((narrow.pair(&node), narrow.next(&node)), ((7, 5), 0x2000_0004));
        let wide = head(Endianness::Little, PointerWidth::Bits64);
        let node: Vec<u8> = [7, 5, 0x7fff_0000_0008_u64].into_iter().flat_map(u64::to_le_bytes).collect();
        assert_eq!(node.len(), wide.node_bytes());
        assert_eq!((wide.pair(&node), wide.next(&node)), ((7, 5), 0x7fff_0000_0008));
    }

    #[test]
    fn no_node_is_unaligned_or_past_the_end_of_memory() {
        let narrow = head(Endianness::Little, PointerWidth::Bits32);
        let at = |address| narrow.node_at(address).map(TargetAddr::get);
        assert_eq!(at(0x2000_0004), Some(0x2000_0004));
        assert_eq!((at(0x2000_0002), at(0xffff_fff0), at(0xffff_ffec)), (None, None, Some(0xffff_ffec)));
        let wide = head(Endianness::Little, PointerWidth::Bits64);
        assert_eq!((wide.node_at(0x2000_0004), wide.node_at(u64::MAX - 7)), (None, None));
    }
}
