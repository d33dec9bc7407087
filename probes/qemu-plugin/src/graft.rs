//! The file's counters in the place of a scoreboard's, so that QEMU's own code adds to them.
//!
//! ```text
//! element of vCPU k |..|<------- ROW_BYTES: pages of the file ------->|....|     and of vCPU k + 1 |..|<---
//!                   ^   ^ the first page's start: `offset`, the same in each element
//! ```
//!
//! What always holds: only pages that lie wholly in a vCPU's element are replaced, before it has executed anything; a
//! scoreboard's memory does not move, because there are no more vCPUs than QEMU allocates for at first.
#![allow(unsafe_code, reason = "pages of QEMU's are replaced")]

use std::ptr;

use crate::api::{Api, Scoreboard};
use crate::layout::{CHUNK_ENTRIES, ELEMENT_BYTES, ROW_BYTES, WORD};
use crate::mapping::{page_bytes, replace};
use crate::memory::{Counter, Memory};

/// QEMU allocates for this many vCPUs at first (`plugin.scoreboard_alloc_size`), and moves the memory for more.
pub(crate) const MAX_VCPUS: usize = 16;

/// A scoreboard for the counts of one chunk.
#[derive(Clone, Copy)]
pub(crate) struct Graft {
    pub(crate) scoreboard: Scoreboard,
    /// Where in each element the counts begin.
    pub(crate) offset: usize,
}

impl Graft {
    /// Makes one, and gives every vCPU that is there its row.
    pub(crate) fn new(api: &Api, memory: &Memory, chunk: usize, vcpus: &[u32]) -> Result<Self, String> {
        let page = page_bytes();
        // It has more than a row, because QEMU's memory does not begin on a page.
        let scoreboard = api.scoreboard(ELEMENT_BYTES);
        let first = api.element(scoreboard, vcpus.first().copied().unwrap_or(0));
        let graft = Self { scoreboard, offset: first.next_multiple_of(page).saturating_sub(first) };
        vcpus.iter().try_for_each(|vcpu| graft.vcpu(api, memory, chunk, *vcpu))?;
        Ok(graft)
    }

    /// What calls add to, at the same addresses as QEMU's code. By those of the file's own mapping guests were slower with
    /// `edges`, by 1.37 instead of 1.33 (140 runs on an AMD EPYC): its cache finds lines by their virtual addresses.
    pub(crate) fn counter(self, api: &Api, id: usize) -> Option<Counter> {
        let at = (id % CHUNK_ENTRIES).checked_mul(WORD)?.checked_add(self.offset)?;
        let first = api.element(self.scoreboard, 0).checked_add(at)?;
        let len = MAX_VCPUS.checked_mul(ELEMENT_BYTES)?.checked_sub(at)? / WORD;
        // SAFETY: QEMU has allocated elements for so many vCPUs, one behind the other, and neither moves nor frees them; its
        // code writes words there too, which atomics allow.
        let words = unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance(first), len) };
        Some(Counter::new(words, ELEMENT_BYTES / WORD))
    }

    /// Gives a vCPU that has executed nothing its row.
    pub(crate) fn vcpu(self, api: &Api, memory: &Memory, chunk: usize, vcpu: u32) -> Result<(), String> {
        let (file, at) = memory.row(chunk, vcpu as usize).ok_or("there is no row for it")?;
        let place = api.element(self.scoreboard, vcpu).saturating_add(self.offset);
        let is_within = self.offset.saturating_add(ROW_BYTES) <= ELEMENT_BYTES;
        if !is_within || !place.is_multiple_of(page_bytes()) {
            return Err("QEMU's elements are not on pages".to_owned());
        }
        // SAFETY: the pages lie in the element; only QEMU's code for this plugin uses it, to add to what is to be in the
        // file.
        unsafe { replace(place, ROW_BYTES, file, at) }.map_err(|error| format!("map counters: {error}"))
    }
}
