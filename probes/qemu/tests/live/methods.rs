//! Every method reads what QEMU itself writes, and the guest runs all the while.

use covtap_link::{Effect, Link, LinkError, ReadMemory, ReadRequest, TargetAddr};
use covtap_qemu::{AddressSpace, MethodChoice, QemuLink};
use covtap_testbed::Guest;
use serde_json::json;

use crate::support::{
    AN385, Control, Kind, RISCV, TCP_MONITOR, X86, connect, counter, endpoint, options, read, start,
    start_plain, wait_until_it_counts,
};

const METHODS: [(MethodChoice, &str); 2] =
    [(MethodChoice::Process, "process_vm_readv"), (MethodChoice::Monitor, "pmemsave")];

/// Reads the same ranges by the link and by QEMU while the guest is stopped by somebody else.
fn equal_pmemsave(link: &mut QemuLink, control: &mut Control, kind: Kind) {
    control.execute("stop", &json!({}));
    let (start, len) = kind.pattern;
    let ranges = [
        (kind.counter, 1),
        (kind.counter + 3, 4096),
        (start, 4096),
        (start + 4095, 2),
        (start + 12345, 70_001),
        (start + len as u64 - 17, 17),
    ];
    for (addr, len) in ranges {
        assert!(read(link, addr, len) == control.pmemsave(addr, len), "{len} bytes at {addr:#x} differ");
    }
    control.execute("cont", &json!({}));
}

fn every_method_reads_what_qemu_writes(kind: Kind) {
    let running = start_plain(kind);
    let mut control = Control::new(&running.guest);
    for (method, name) in METHODS {
        let mut link = connect(&running.guest, method, AddressSpace::Physical);
        let info = link.info();
        assert!(info.server.starts_with("QEMU ") && info.server.ends_with(name), "{}", info.server);
        assert_eq!(info.architecture.as_deref(), Some(kind.target));
        assert_eq!(info.effect, Effect::Free);
        assert_eq!(link.fallback_reason(), None);
        equal_pmemsave(&mut link, &mut control, kind);
        let first = counter(&mut link, kind.counter);
        wait_until_it_counts(&mut link, kind.counter, first);
        link.detach().expect("detach");
        assert_eq!(control.status(), "running");
    }
}

#[test]
fn arm_is_read_as_qemu_writes_it() {
    every_method_reads_what_qemu_writes(AN385);
}

#[test]
fn riscv_is_read_as_qemu_writes_it() {
    every_method_reads_what_qemu_writes(RISCV);
}

#[test]
fn x86_is_read_as_qemu_writes_it() {
    every_method_reads_what_qemu_writes(X86);
}

fn shared_backend(dir: &std::path::Path, id: &str, size: &str) -> [String; 4] {
    let path = dir.join("guest-ram");
    let object = format!("memory-backend-file,id={id},size={size},share=on,mem-path={}", path.display());
    ["-object".into(), object, "-machine".into(), format!("memory-backend={id}")]
}

#[test]
fn a_shared_file_is_read_without_the_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = start(X86, shared_backend(dir.path(), "ram0", "64M"));
    let mut control = Control::new(&running.guest);
    let mut link = connect(&running.guest, MethodChoice::SharedFile, AddressSpace::Physical);
    assert!(link.info().server.ends_with(", shared file"), "{}", link.info().server);
    assert_eq!(link.process_id(), None);
    equal_pmemsave(&mut link, &mut control, X86);
    let first = counter(&mut link, X86.counter);
    wait_until_it_counts(&mut link, X86.counter, first);
}

#[test]
fn a_shared_memfd_is_found_through_the_process() {
    let memfd = "memory-backend-memfd,id=ram0,size=64M,share=on";
    let running = start(X86, ["-object", memfd, "-machine", "memory-backend=ram0"]);
    let mut control = Control::new(&running.guest);
    let mut link = connect(&running.guest, MethodChoice::SharedFile, AddressSpace::Physical);
    equal_pmemsave(&mut link, &mut control, X86);
}

#[test]
fn a_file_at_the_same_path_that_is_another_one_is_not_believed() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = start(X86, shared_backend(dir.path(), "ram0", "64M"));
    let path = dir.path().join("guest-ram");
    std::fs::remove_file(&path).expect("unlink the guest's memory");
    let impostor = std::fs::File::create(&path).expect("create");
    impostor.set_len(64 << 20).expect("grow");
    let mut control = Control::new(&running.guest);
    // The file at the path is all zeros; the one that the process holds is found instead.
    let mut link = connect(&running.guest, MethodChoice::SharedFile, AddressSpace::Physical);
    equal_pmemsave(&mut link, &mut control, X86);
}

#[test]
fn memory_outside_of_the_shared_file_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = start(AN385, shared_backend(dir.path(), "psram", "16M"));
    let mut link = connect(&running.guest, MethodChoice::SharedFile, AddressSpace::Physical);
    assert!(read(&mut link, AN385.pattern.0, 16 << 20) == running.pattern);
    let error = link.read(TargetAddr::new(AN385.counter), &mut [0; 8]).expect_err("not in the file");
    assert!(matches!(error, LinkError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("no shared file holds mps.ssram23, where 0x20000000 is"), "{error}");
}

#[test]
fn without_a_shared_backend_the_file_method_says_so() {
    let running = start_plain(RISCV);
    let options = options(MethodChoice::SharedFile, AddressSpace::Physical);
    let error = QemuLink::connect(&endpoint(&running.guest), &options).expect_err("no shared backend");
    assert!(matches!(error, LinkError::Unsupported { .. }), "{error}");
    assert!(error.to_string().ends_with("the guest has no memory backend with share=on"), "{error}");
}

#[test]
fn sixteen_mebibytes_are_read_whole_by_every_method() {
    let running = start_plain(AN385);
    let (addr, len) = AN385.pattern;
    for (method, _) in METHODS {
        for space in [AddressSpace::Physical, AddressSpace::Virtual { cpu: 0 }] {
            let mut link = connect(&running.guest, method, space);
            assert!(read(&mut link, addr, len) == running.pattern, "{method} {space}");
        }
    }
}

#[test]
fn a_range_over_neighbouring_regions_is_read_and_one_over_the_end_is_not() {
    let running = start_plain(AN385);
    let mut control = Control::new(&running.guest);
    for (method, _) in METHODS {
        let mut link = connect(&running.guest, method, AddressSpace::Physical);
        // mps.ssram23 appears twice, at 0x20000000 and again at 0x20400000.
        let seam = 0x2040_0000 - 8;
        control.execute("stop", &json!({}));
        assert_eq!(read(&mut link, seam, 16), control.pmemsave(seam, 16));
        control.execute("cont", &json!({}));
        let error = link.read(TargetAddr::new(0x2200_0000 - 8), &mut [0; 16]).expect_err("the end of RAM");
        let told = error.to_string();
        assert!(told.starts_with("read 16 bytes at 0x21fffff8"), "{told}");
        assert!(told.contains("no memory at 0x22000000"), "{told}");
        assert!(!error.is_fatal());
        let error = link.read(TargetAddr::new(0x4000_4000), &mut [0; 4]).expect_err("a device");
        assert!(error.to_string().contains("is not RAM"), "{error}");
        let error = link.read(TargetAddr::new(0x1_2000_0000), &mut [0; 4]).expect_err("beyond 32 bits");
        assert!(error.to_string().contains("end at 0xffffffff"), "{error}");
        assert_eq!(read(&mut link, AN385.pattern.0, 64), running.pattern[..64]);
    }
}

#[test]
fn many_ranges_in_one_read_each_get_their_own_bytes() {
    let running = start_plain(X86);
    let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Physical);
    let mut bytes = vec![0; 3000 * 8];
    let places = (0..3000u64).map(|i| i * 331 % 1_000_000);
    let mut reads: Vec<ReadRequest<'_>> = bytes
        .chunks_mut(8)
        .zip(places.clone())
        .map(|(buf, at)| ReadRequest { addr: TargetAddr::new(X86.pattern.0 + at), buf })
        .collect();
    link.read_many(&mut reads).expect("read");
    for (found, at) in bytes.chunks(8).zip(places) {
        let at = usize::try_from(at).expect("small");
        assert_eq!(found, &running.pattern[at..at + 8]);
    }
    link.read_many(&mut []).expect("nothing to read");
    link.read(TargetAddr::new(u64::MAX), &mut []).expect("no byte is anywhere");
}

fn read_a_thousand_times(guest: &Guest, method: MethodChoice) {
    let mut control = Control::new(guest);
    let mut link = connect(guest, method, AddressSpace::Auto);
    let mut buf = [0; 4096];
    let mut last = counter(&mut link, AN385.counter);
    for i in 0..1000 {
        let report = link.read(TargetAddr::new(AN385.counter), &mut buf).expect("read");
        assert!(report.pause.is_zero());
        if i % 50 == 0 {
            assert_eq!(control.status(), "running");
            last = wait_until_it_counts(&mut link, AN385.counter, last);
        }
    }
    link.detach().expect("detach");
    assert_eq!(control.status(), "running");
    assert_eq!(control.events(), [""; 0]);
}

#[test]
fn a_thousand_reads_never_stop_the_guest() {
    let running = start_plain(AN385);
    for (method, _) in METHODS {
        read_a_thousand_times(&running.guest, method);
    }
}

#[test]
fn the_process_that_is_read_is_qemu_and_not_who_bound_its_socket() {
    // The testbed binds the socket, so the connection's credentials name this test's process.
    let running = start_plain(AN385);
    let link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Physical);
    assert_eq!(link.process_id(), Some(i32::try_from(running.guest.pid()).expect("a process id")));
}

#[test]
fn a_monitor_on_tcp_leads_to_the_process_too() {
    let running = start(AN385, TCP_MONITOR);
    let endpoint = Control::new(&running.guest).tcp_monitor().parse().expect("an endpoint");
    for (method, name) in METHODS {
        let mut link =
            QemuLink::connect(&endpoint, &options(method, AddressSpace::Physical)).expect("connect");
        assert!(read(&mut link, AN385.pattern.0, 1 << 20) == running.pattern[..1 << 20]);
        assert!(link.info().server.ends_with(name), "{}", link.info().server);
    }
}
