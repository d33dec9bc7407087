//! What the human monitor prints, as values.
//!
//! Source: `monitor/hmp-cmds-target.c` and `system/memory.c` of QEMU 10.0. These texts are made for people and
//! promise nothing: whatever does not read exactly as expected is an error with its text, never a guess.
//!
//! ```text
//! gpa2hva A   Host virtual address for 0x20000000 (mps.ssram23) is 0x7f3f58e00000
//!             No memory is mapped at address 0x30000000
//!             Memory at address 0x40000000 is not RAM
//! gva2gpa A   gpa: 0x20000000          ("gpa: 0" for 0, as C's %#x prints it)
//!             Unmapped
//! xp /2xb A   0000000020000000: 0x3d 0x2b
//! info mtree -f
//!             FlatView #2
//!              AS "memory", root: system
//!              Root memory region: system
//!               0000000020000000-00000000203fffff (prio 0, ram): mps.ssram23
//!               00000000000c0000-00000000000c9fff (prio 0, rom): mem0 @00000000000c0000
//! ```

use crate::failure::Failure;

/// Where a guest-physical address is in the QEMU process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HostPlace {
    /// The address in QEMU's own address space.
    pub(crate) hva: u64,
    /// QEMU's name of the memory region.
    pub(crate) region: String,
}

/// One stretch of guest-physical addresses that one memory region answers for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FlatRange {
    pub(crate) first: u64,
    /// The last address, itself included: a range may end at the end of the address space.
    pub(crate) last: u64,
    /// The region's name and, after it, ` @OFFSET` where the range does not start at the region's start, and
    /// the accelerator's name where that maps the range. A name may hold any of that itself, so it is cut
    /// only by who knows the name.
    pub(crate) label: String,
    /// Whether the kind of memory can have a host address at all (all but `i/o`).
    pub(crate) may_be_ram: bool,
}

impl FlatRange {
    /// At which offset in the region `name` the range starts, or `None` if it belongs to another region.
    pub(crate) fn offset_in(&self, name: &str) -> Option<u64> {
        let rest = self.label.strip_prefix(name)?;
        let mut words = rest.split(' ');
        if words.next() != Some("") {
            return None;
        }
        match words.next().and_then(|word| word.strip_prefix('@')) {
            Some(offset) => u64::from_str_radix(offset, 16).ok(),
            None => Some(0),
        }
    }
}

/// The host address that `gpa2hva gpa` printed, or `None` and why where there is no RAM.
pub(crate) fn gpa2hva(gpa: u64, printed: &str) -> Result<Result<HostPlace, String>, Failure> {
    let text = printed.trim();
    if text.starts_with("No memory is mapped") || text.ends_with("is not RAM") {
        return Ok(Err(clip(text)));
    }
    let place = text.strip_prefix("Host virtual address for ").and_then(|rest| {
        let (asked, rest) = rest.split_once(" (")?;
        let (region, hva) = rest.rsplit_once(") is ")?;
        (number(asked)? == gpa).then_some(())?;
        Some(HostPlace { hva: number(hva)?, region: region.to_owned() })
    });
    place.map(Ok).ok_or_else(|| unexpected("gpa2hva", text))
}

/// The guest-physical address that `gva2gpa` printed, or `None` where the CPU has no translation.
pub(crate) fn gva2gpa(printed: &str) -> Result<Option<u64>, Failure> {
    let text = printed.trim();
    if text == "Unmapped" {
        return Ok(None);
    }
    text.strip_prefix("gpa: ").and_then(number).map(Some).ok_or_else(|| unexpected("gva2gpa", text))
}

/// Fills `buf` with the bytes that `xp /Nxb gpa` printed.
pub(crate) fn xp(gpa: u64, printed: &str, buf: &mut [u8]) -> Result<(), Failure> {
    let mut slots = buf.iter_mut();
    let mut next = gpa;
    for line in printed.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (addr, bytes) = line.split_once(": ").ok_or_else(|| unexpected("xp", line))?;
        if u64::from_str_radix(addr, 16) != Ok(next) {
            return Err(unexpected("xp", line));
        }
        for word in bytes.split_ascii_whitespace() {
            let byte = number(word).and_then(|value| u8::try_from(value).ok());
            match (slots.next(), byte) {
                (Some(slot), Some(byte)) => *slot = byte,
                _ => return Err(unexpected("xp", line)),
            }
            next = next.wrapping_add(1);
        }
    }
    match slots.len() {
        0 => Ok(()),
        missing => Err(Failure::Protocol(format!("xp: {missing} bytes are missing in its answer"))),
    }
}

/// The flat view of the address space `memory` in what `info mtree -f` printed: in order, without overlaps.
/// Empty where the text has none.
pub(crate) fn flat_view(printed: &str) -> Vec<FlatRange> {
    let mut wanted = false;
    let mut heads = true;
    let mut ranges: Vec<FlatRange> = Vec::new();
    for line in printed.lines() {
        if line.starts_with("FlatView") {
            (wanted, heads) = (false, true);
        } else if heads && line.starts_with(" AS \"memory\",") {
            wanted = true;
        } else if wanted && line.starts_with("  ") {
            heads = false;
            ranges.extend(flat_range(line));
        }
    }
    ranges.sort_by_key(|range| range.first);
    ranges.dedup_by(|later, earlier| later.first <= earlier.last);
    ranges
}

fn flat_range(line: &str) -> Option<FlatRange> {
    let (span, rest) = line.trim_start().split_once(" (prio ")?;
    let (first, last) = span.split_once('-')?;
    let (attributes, label) = rest.split_once("): ")?;
    let kind = attributes.rsplit_once(", ")?.1;
    let first = u64::from_str_radix(first, 16).ok()?;
    let last = u64::from_str_radix(last, 16).ok()?;
    let label = label.trim_end().to_owned();
    (first <= last).then_some(FlatRange { first, last, label, may_be_ram: !kind.ends_with("i/o") })
}

/// A number as C's `%#x` prints it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => (text == "0").then_some(0),
    }
}

fn unexpected(command: &str, text: &str) -> Failure {
    Failure::Refused(format!("{command}: {:?}", clip(text)))
}

/// A server's words, short enough for one line.
pub(crate) fn clip(text: &str) -> String {
    let mut line: String = text.chars().take(160).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() && text.chars().count() > 160 {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MTREE: &str = include_str!("../tests/data/mtree-q35.txt");

    #[test]
    fn a_host_address_is_read_with_its_region() {
        let printed = "Host virtual address for 0x20000000 (mps.ssram23) is 0x7f3f58e00000\r\n";
        let place = gpa2hva(0x2000_0000, printed).unwrap().unwrap();
        assert_eq!(place, HostPlace { hva: 0x7f3f_58e0_0000, region: "mps.ssram23".into() });
        let odd = "Host virtual address for 0 (a (b) is 0x1) is 0x2";
        assert_eq!(gpa2hva(0, odd).unwrap().unwrap().region, "a (b) is 0x1");
    }

    #[test]
    fn no_ram_is_an_answer_and_nonsense_is_not() {
        for printed in
            ["No memory is mapped at address 0x30000000", "Memory at address 0x40000000 is not RAM"]
        {
            assert_eq!(gpa2hva(0x3000_0000, printed).unwrap(), Err(printed.to_owned()));
        }
        for printed in [
            "",
            "Host virtual address for 0x10 (r) is 0x7f00",
            "Host virtual address for 0x20 (r) is 7f00",
            "Host virtual address for 0x20 (r) is 0x",
            "Host virtual address for 0x20 (r) is 0x+1",
            "Host virtual address for 0x20 (r) is 0x10000000000000000",
            "Host virtual address for 0x20",
            "unknown command: 'gpa2hva'",
        ] {
            assert!(gpa2hva(0x20, printed).is_err(), "{printed}");
        }
    }

    #[test]
    fn a_translation_is_read_even_where_it_is_zero() {
        assert_eq!(gva2gpa("gpa: 0x80000000\r\n").unwrap(), Some(0x8000_0000));
        assert_eq!(gva2gpa("gpa: 0\r\n").unwrap(), Some(0));
        assert_eq!(gva2gpa("Unmapped\r\n").unwrap(), None);
        assert!(gva2gpa("No cpu").is_err());
        assert!(gva2gpa("gpa: ").is_err());
    }

    #[test]
    fn bytes_are_read_whole_and_from_the_address_asked_for() {
        let printed =
            "0000000000001000: 0x00 0x01 0x02 0x03 0x04 0x05 0x06 0x07\r\n0000000000001008: 0xff\r\n";
        let mut buf = [0xaa; 9];
        xp(0x1000, printed, &mut buf).unwrap();
        assert_eq!(buf, [0, 1, 2, 3, 4, 5, 6, 7, 0xff]);
        assert!(xp(0x1000, printed, &mut [0; 8]).is_err());
        assert!(xp(0x1000, printed, &mut [0; 10]).is_err());
        assert!(xp(0x1001, printed, &mut [0; 9]).is_err());
        assert!(xp(0, "0000000000000000: Cannot access memory", &mut [0; 1]).is_err());
    }

    #[test]
    fn the_flat_view_of_memory_is_found_among_others() {
        let ranges = flat_view(MTREE);
        let at = |addr: u64| ranges.iter().find(|r| r.first <= addr && addr <= r.last);
        let low = at(0x500).expect("low memory");
        assert_eq!((low.first, low.last, low.offset_in("mem0")), (0, 0x9_ffff, Some(0)));
        let high = at(0x10_0000).expect("memory above 1 MiB");
        assert_eq!(high.offset_in("mem0"), Some(0x10_0000));
        assert_eq!(high.offset_in("mem"), None);
        assert!(!at(0xfec0_0000).expect("the I/O APIC").may_be_ram);
        assert!(at(0xd_0000).expect("a ROM").may_be_ram);
        assert_eq!(at(0x2000_0000), None);
    }

    #[test]
    fn a_region_whose_name_looks_like_an_offset_is_told_apart() {
        let line =
            "  0000000040003000-0000000040003fff (prio -1000, nv-ram): odd @0x40000000 @0000000000003000 KVM";
        let range = flat_range(line).expect("a range");
        assert_eq!(range.offset_in("odd @0x40000000"), Some(0x3000));
        assert_eq!(range.offset_in("odd"), None);
        assert!(flat_range("  10-0 (prio 0, ram): backwards").is_none());
    }

    #[test]
    fn overlapping_ranges_are_dropped() {
        let text = "FlatView #0\n AS \"memory\", root: system\n  0000000000000000-00000000000000ff (prio 0, ram): a\n  0000000000000080-00000000000001ff (prio 0, ram): b\n";
        let ranges = flat_view(text);
        assert_eq!(ranges.len(), 1);
        assert_eq!(ranges[0].label, "a");
    }

    #[test]
    fn a_servers_words_are_kept_short_and_on_one_line() {
        assert_eq!(clip("a\nb"), "a b");
        assert_eq!(clip(&"\u{e4}".repeat(500)).chars().count(), 163);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\\n){0,120}", gpa: u64) {
            let _ = gpa2hva(gpa, &text);
            let _ = gva2gpa(&text);
            let _ = xp(gpa, &text, &mut [0; 16]);
            let _ = flat_view(&text);
            let _ = flat_range(&text);
            let _ = clip(&text);
        }

        #[test]
        fn nearly_right_texts_do_not_panic(a in any::<u64>(), b in any::<u64>(), name in "\\PC{0,12}", cut in 0usize..90) {
            for text in [
                format!("Host virtual address for {a:#x} ({name}) is {b:#x}"),
                format!("gpa: {a:#x}"),
                format!("{a:016x}: 0x{b:02x}"),
                format!("FlatView #0\n AS \"memory\", root: s\n  {a:016x}-{b:016x} (prio 0, ram): {name} @{a:016x}"),
            ] {
                let short: String = text.chars().take(cut).collect();
                for text in [&text, &short] {
                    let _ = gpa2hva(a, text);
                    let _ = gva2gpa(text);
                    let _ = xp(a, text, &mut [0; 3]);
                    for range in flat_view(text) {
                        prop_assert!(range.first <= range.last);
                        let _ = range.offset_in(&name);
                    }
                }
            }
        }
    }
}
