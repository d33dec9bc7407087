//! Virtual addresses where they differ from physical ones.

use covtap_link::{Link, LinkError, ReadMemory, ReadRequest, TargetAddr};
use covtap_qemu::{AddressSpace, MethodChoice, QemuLink};

use crate::support::{
    Control, RISCV, X86, connect, counter, endpoint, options, read, start_plain, wait_until_it_counts,
};

const X86_HIGH: u64 = 0xffff_ffff_8000_0000;
const X86_REVERSE: u64 = 0xffff_ffff_8020_0000;
const RISCV_HIGH: u64 = 0xffff_ffc0_0000_0000;
const METHODS: [MethodChoice; 2] = [MethodChoice::Process, MethodChoice::Monitor];

/// The pattern as the x86 guest's page tables show it: pages in reverse order.
fn reversed(pattern: &[u8]) -> Vec<u8> {
    pattern.chunks(4096).rev().flatten().copied().collect()
}

#[test]
fn the_high_half_of_x86_is_read_page_by_page() {
    let running = start_plain(X86);
    let expected = reversed(&running.pattern);
    for method in METHODS {
        let mut link = connect(&running.guest, method, AddressSpace::Auto);
        let first = counter(&mut link, X86_HIGH);
        wait_until_it_counts(&mut link, X86_HIGH, first);
        assert!(read(&mut link, X86_REVERSE, 1 << 20) == expected, "{method}");
        assert!(read(&mut link, X86_REVERSE + 4090, 5000) == expected[4090..9090], "{method}");
        // The same pages where they are mapped as they are.
        assert!(read(&mut link, X86.pattern.0, 1 << 20) == running.pattern, "{method}");
    }
}

#[test]
fn the_high_half_of_riscv_is_read() {
    let running = start_plain(RISCV);
    let control = &mut Control::new(&running.guest);
    for method in METHODS {
        let mut link = connect(&running.guest, method, AddressSpace::Virtual { cpu: 0 });
        let first = counter(&mut link, RISCV_HIGH + 0x10_0000);
        wait_until_it_counts(&mut link, RISCV_HIGH + 0x10_0000, first);
        assert!(read(&mut link, RISCV_HIGH + 0x20_0000, 1 << 20) == running.pattern, "{method}");
    }
    assert_eq!(control.status(), "running");
}

#[test]
fn a_page_that_is_not_mapped_is_an_error_and_never_physical() {
    let running = start_plain(X86);
    let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Auto);
    let first = counter(&mut link, X86_HIGH);
    assert_ne!(wait_until_it_counts(&mut link, X86_HIGH, first), first);
    let error = link.read(TargetAddr::new(X86_REVERSE + 0xf_fff0), &mut [0; 32]).expect_err("unmapped");
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("CPU 0 has no translation of 0xffffffff80300000"), "{error}");
    // 0xfffc0000 is a ROM in physical memory, but this guest does not map it.
    let error = link.read(TargetAddr::new(0xfffc_0000), &mut [0; 16]).expect_err("unmapped");
    assert!(error.to_string().contains("CPU 0 has no translation of 0xfffc0000"), "{error}");
    let mut physical = {
        drop(link);
        connect(&running.guest, MethodChoice::Auto, AddressSpace::Physical)
    };
    physical.read(TargetAddr::new(0xfffc_0000), &mut [0; 16]).expect("the ROM is there");
}

#[test]
fn physical_memory_is_read_past_the_page_tables() {
    let running = start_plain(X86);
    let (start, len) = X86.pattern;
    for method in METHODS {
        let mut link = connect(&running.guest, method, AddressSpace::Auto);
        let first = counter(&mut link, X86_HIGH);
        wait_until_it_counts(&mut link, X86_HIGH, first);
        let memory = link.physical().expect("QEMU knows physical addresses");
        let ranges = memory.ranges().expect("QEMU tells its memory map");
        let holds = |addr: u64, len: u64| {
            let end = TargetAddr::new(addr + len);
            ranges.iter().any(|range| range.contains(TargetAddr::new(addr)) && end <= range.end())
        };
        assert!(holds(start, len as u64) && holds(0xfffc_0000, 16), "{ranges:?}");
        assert!(ranges.is_sorted_by(|a, b| a.end() < b.start()), "{ranges:?}");
        // This guest does not map the ROM.
        let (mut pattern, mut rom) = (vec![0; len], [0; 16]);
        let mut reads = [
            ReadRequest { addr: TargetAddr::new(start), buf: &mut pattern },
            ReadRequest { addr: TargetAddr::new(0xfffc_0000), buf: &mut rom },
        ];
        memory.read_physical(&mut reads).expect("all of it is there");
        assert!(pattern == running.pattern, "{method}");
        // Its other reads are still of virtual addresses.
        assert!(read(&mut link, X86_REVERSE, len) == reversed(&running.pattern), "{method}");
    }
}

#[test]
fn a_failed_first_read_does_not_decide_what_addresses_mean() {
    let running = start_plain(X86);
    let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Auto);
    link.read(TargetAddr::new(0xffff_ffff_8030_0000), &mut [0; 16]).expect_err("nothing there");
    assert!(read(&mut link, X86_REVERSE, 4096) == running.pattern[0xf_f000..]);
}

#[test]
fn translations_are_checked_again_after_a_while() {
    let running = start_plain(X86);
    let mut options = options(MethodChoice::Auto, AddressSpace::Virtual { cpu: 0 });
    options.recheck_after = std::time::Duration::ZERO;
    let mut link = QemuLink::connect(&endpoint(&running.guest), &options).expect("connect");
    let expected = reversed(&running.pattern);
    for _ in 0..3 {
        assert!(read(&mut link, X86_REVERSE, 64 << 10) == expected[..64 << 10]);
    }
}

#[test]
fn a_cpu_that_is_not_there_is_an_error() {
    let running = start_plain(RISCV);
    let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Virtual { cpu: 7 });
    let error = link.read(TargetAddr::new(RISCV_HIGH), &mut [0; 4]).expect_err("there is one CPU");
    assert!(!error.is_fatal(), "{error}");
    assert!(error.to_string().contains("CPU"), "{error}");
}
