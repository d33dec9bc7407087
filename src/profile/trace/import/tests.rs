use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

fn read_with(bytes: &[u8], options: &Options) -> Imported {
    import("a", bytes, None, options).unwrap()
}

fn read(bytes: &[u8]) -> Imported {
    let imported = read_with(bytes, &Options::default());
    assert!(imported.fault.is_none(), "{}", imported.fault.unwrap());
    imported
}

fn runs(trace: &Trace) -> Vec<(u64, u64, u64)> {
    let runs = trace.space("").unwrap().runs();
    runs.iter().map(|run| (run.start, run.last - run.start + 1, run.count)).collect()
}

/// What a file without fault says.
fn said(bytes: &[u8]) -> (Format, Counting, Vec<(u64, u64, u64)>) {
    let Imported { trace, format, .. } = read(bytes);
    (format, trace.counting, runs(&trace))
}

fn refusal(bytes: &[u8], options: &Options) -> String {
    match import("a", bytes, None, options) {
        Err(error) => error.to_string(),
        Ok(imported) => imported.fault.expect("a fault").to_string(),
    }
}

/// A log of QEMU 10.0.2: `qemu-system-arm -M mps2-an385 -kernel g.elf -d exec,in_asm,nochain`.
const QEMU_LOG: &str = "----------------
IN: reset
0x00000100:  2005       movs     r0, #5
0x00000102:  3801       subs     r0, #1
0x00000104:  f000 f807  bl       #0x116

Trace 0: 0x7fb544000100 [00800400/0000000000000100/00000110/ff020200] reset
----------------
IN: 
0x00000116:  f04f 5204  mov.w    r2, #0x21000000
0x0000011a:  4770       bx       lr

Trace 0: 0x7fb544000280 [00800400/0000000000000116/00000110/ff020200] 
----------------
IN: reset
0x00000108:  2800       cmp      r0, #0
0x0000010a:  d1fa       bne      #0x102

Trace 0: 0x7fb5440003c0 [00800400/0000000000000108/00000110/ff020200] reset
----------------
IN: reset
0x00000102:  3801       subs     r0, #1
0x00000104:  f000 f807  bl       #0x116

Trace 0: 0x7fb544000540 [00800400/0000000000000102/00000110/ff020200] reset
Trace 0: 0x7fb544000280 [00800400/0000000000000116/00000110/ff020200] 
";

const EXECLOG: &str = "0, 0xa12, 0x8012, \"ands r2, r0\"
1, 0xa14, 0xf87f42b4, \"ldr.w r4, [r2]\", load, 0x00021f48, RAM
0, 0xa12, 0x8012, \"ands r2, r0\"
";

const HOTBLOCKS: &str = "collected 2 entries in the hash table
pc, tcount, icount, ecount
0x0000000000000a14, 1, 3, 7
0x0000000000000b00, 2, 1, 1 - memcpy
";

fn drcov(table: &str, blocks: &[(u32, u16, u16)]) -> Vec<u8> {
    let head = format!("DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\n{table}BB Table: {} bbs\n", blocks.len());
    let mut file = head.into_bytes();
    for (start, size, module) in blocks {
        file.extend(start.to_le_bytes());
        file.extend(size.to_le_bytes());
        file.extend(module.to_le_bytes());
    }
    file
}

const TABLE_2: &str = "Module Table: version 2, count 2\nColumns: id, base, end, entry, path\n \
    0, 0x00400000, 0x00452000, 0x0, /bin/a\n 1, 0x7fff00000000, 0x7fff00100000, 0x0, /lib/b, c.so\n";

/// A module of two segments in each newer table.
fn segments(version: u32, columns: &str, before_path: &str) -> String {
    let row = |id, start, end| format!("{id}, 0, {start:#x}, {end:#x}, 0x0{before_path}, C:\\a.dll\r\n");
    format!(
        "Module Table: version {version}, count 2\r\nColumns: id, containing_id, start, end, entry{columns}, path\r\n{}{}",
        row(0, 0x10000, 0x11000),
        row(1, 0x12000, 0x13000)
    )
}

fn renode(version: u8, has_opcodes: bool, models: &[u8]) -> Vec<u8> {
    [&b"ReTrace"[..], &[version, 4, u8::from(has_opcodes)], models].concat()
}

fn renode_blocks() -> Vec<u8> {
    let mut file = renode(5, true, b"\x02\x04a b.\x03c d");
    file.extend([1, 2, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(*b"\x00\x10\x00\x00\x02\xaa\xbb\x01");
    file.extend([7; 25]);
    file.extend([3, 1, 3, 0]);
    file.extend([7; 32]);
    file.extend(*b"\x00\x02\x10\x00\x00\x04\x01\x02\x03\x04\x02");
    file.extend([9; 16]);
    file.push(0);
    file
}

fn gnatcov(pc_bytes: u8, is_big: bool, machine: u8, entries: &[(u64, u16, u8)]) -> Vec<u8> {
    let header =
        |kind| [&b"#QEMU-Traces"[..], &[1, kind, pc_bytes, u8::from(is_big), 0, machine, 0, 0]].concat();
    let ordered = |mut number: Vec<u8>| {
        if is_big {
            number.reverse();
        }
        number
    };
    let u32_of = |value: u32| ordered(value.to_le_bytes().to_vec());
    let mut file =
        [header(2), u32_of(1), u32_of(5), b"a.elf\0\0\0".to_vec(), u32_of(0), u32_of(0), header(1)].concat();
    for (pc, size, op) in entries {
        let pc = pc.to_le_bytes()[..pc_bytes.into()].to_vec();
        file.extend([ordered(pc), ordered(size.to_le_bytes().to_vec()), vec![*op]].concat());
        file.extend(vec![0; if pc_bytes == 4 { 1 } else { 5 }]);
    }
    file
}

/// A file of every form.
fn files() -> Vec<(Format, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (Format::Tfa, text("0010065c 1 4\n00100660 12 2\n")),
        (Format::Drcov, drcov(TABLE_2, &[(0x10, 4, 0), (0x20, 6, 1)])),
        (
            Format::Drcov,
            text(&format!(
                "DRCOV VERSION: 2\n{TABLE_2}BB Table: 1 bbs\nmodule id, start, size:\nmodule[  1]: 0x0000000000000020,   6\n"
            )),
        ),
        (Format::Renode, renode_blocks()),
        (Format::QemuLog, text(QEMU_LOG)),
        (Format::Execlog, text(EXECLOG)),
        (Format::Hotblocks, text(HOTBLOCKS)),
        (Format::Gnatcov, gnatcov(4, false, 3, &[(0x100, 8, 0x10)])),
        (Format::Gnatcov, gnatcov(8, true, 21, &[(0x100, 8, 0x13)])),
        (Format::Pcs, text("0x80001A34\n80001a36: 0x0505\n")),
    ]
}

#[test]
fn forms_are_told_by_their_first_bytes() {
    for (format, file) in files() {
        assert_eq!(read(&file).format, format);
        assert_eq!(Format::by_name(&format.to_string()), Some(format));
        let named = import("a", &file[..], Some(format), &Options::default()).unwrap();
        assert_eq!(named.trace, read(&file).trace);
    }
}

#[test]
fn dumps_of_tf_a() {
    let expected = (Format::Tfa, Counting::Times, vec![(0x0010_065c, 4, 1), (0x0010_0660, 2, 12)]);
    assert_eq!(said(b"0010065c 1 4\r\n00100660 12 2\n\n"), expected);
    assert_eq!(said(b"trace-bl1.log:0010065c 1 4\ntrace-bl1.log: 00100660 12 2\n"), expected);
    assert_eq!(said(b"ffffffc000000000 2 4\n").2, [(0xffff_ffc0_0000_0000, 4, 2)]);
}

#[test]
fn blocks_of_drcov_are_in_memory_or_in_an_elf() {
    let file = drcov(TABLE_2, &[(0x10, 4, 0), (0x20, 6, 1), (0x20, 6, 1), (0x5, 1, 0xffff)]);
    let expected = vec![(0x40_0010, 4, 1), (0x7fff_0000_0020, 6, 1)];
    assert_eq!(said(&file), (Format::Drcov, Counting::Reached, expected));
    let kept = |name: &str| {
        let module = Module { name: name.to_owned(), image_base: 0x1000 };
        Options { module: Some(module), ..Options::default() }
    };
    assert_eq!(runs(&read_with(&file, &kept("b, c.so")).trace), [(0x1020, 6, 1)]);
    assert_eq!(runs(&read_with(&file, &kept("/bin/a")).trace), [(0x1010, 4, 1)]);
    assert_eq!(
        refusal(&file, &kept("c.so")),
        "import a: as drcov, line 6: none of the modules up to it is c.so"
    );
    let absolute = Options { is_absolute: true, ..Options::default() };
    assert_eq!(runs(&read_with(&drcov(TABLE_2, &[(0x40_1000, 4, 0)]), &absolute).trace), [(0x40_1000, 4, 1)]);
    let outside = refusal(&drcov(TABLE_2, &[(0x10, 4, 0), (0x40_1000, 4, 0)]), &Options::default());
    assert!(outside.ends_with(": the block is not inside its module"), "{outside}");
    let twice = refusal(&file.repeat(2), &Options::default());
    assert!(
        twice.ends_with(&format!("offset {:#x}: something follows the last block", file.len())),
        "{twice}"
    );
}

/// However long the table of modules is, and wherever it ends in what is read at once.
#[test]
fn text_and_bytes_of_drcov() {
    let text = |table: &str| {
        format!(
            "DRCOV VERSION: 2\n{table}BB Table: 2 bbs\nmodule id, start, size:\n\
            module[  1]: 0x0000000000000020,   6\nmodule[  0]: 0x10, 4\n"
        )
    };
    let expected = vec![(0x40_0010, 4, 1), (0x7fff_0000_0020, 6, 1)];
    let head = text(TABLE_2).find("module id").unwrap();
    for more in 0..12 {
        // Lines of the head, which together end where what is looked at first does.
        let flavor = format!("DRCOV FLAVOR: {}\n", "a".repeat(1000)).repeat(64);
        let last = format!("DRCOV FLAVOR: {}\n", "a".repeat((1 << 16) - head - flavor.len() - 20 + more));
        let file = text(&format!("{flavor}{last}{TABLE_2}"));
        assert!((file.find("module id").unwrap() as i64 - (1 << 16)).abs() < 9, "{more}");
        assert_eq!(said(file.as_bytes()).2, expected);
    }
    assert_eq!(said(text(TABLE_2).as_bytes()).2, expected);
    assert_eq!(said(&drcov(TABLE_2, &[(0x20, 6, 1), (0x10, 4, 0)])).2, expected);
}

#[test]
fn tables_of_drcov_by_their_columns() {
    let windows = ", checksum, timestamp";
    // Before table 5 a block is relative to its module, since then to its segment.
    let cases = [
        (3, String::new(), "", 0x12010, 0x2010),
        (3, windows.to_owned(), ", 0x1, 0x2", 0x12010, 0x2010),
        (4, ", offset".to_owned(), ", 0x800", 0x12010, 0x2010),
        (5, ", offset, preferred_base".to_owned(), ", 0x800, 0x400000", 0x12010, 0x10),
        (5, format!(", offset, preferred_base{windows}"), ", 0x800, 0x0, 0x1, 0x2", 0x12010, 0x10),
    ];
    for (version, columns, before_path, address, start) in cases {
        let file = drcov(&segments(version, &columns, before_path), &[(start, 4, 1)]);
        assert_eq!(said(&file).2, [(address, 4, 1)], "{version}");
        let module = Module { name: "a.dll".to_owned(), image_base: 0x40_0000 };
        let kept = Options { module: Some(module), ..Options::default() };
        assert_eq!(runs(&read_with(&file, &kept).trace), [(0x40_2010, 4, 1)], "{version}");
    }
}

#[test]
fn renode_tells_each_instruction() {
    let joined = vec![(0x1000, 6, 1)];
    assert_eq!(said(&renode_blocks()), (Format::Renode, Counting::Times, joined.clone()));
    let entries = b"\x00\x10\x00\x00\x02\xaa\xbb\x00\x02\x10\x00\x00\x04\x01\x02\x03\x04\x00";
    assert_eq!(said(&[&renode(5, true, b"\x01\x03a b")[..], entries].concat()).2, joined);
    assert_eq!(said(&[&renode(4, true, b"\x00\x03a b")[..], entries].concat()).2, joined);
    let bare = b"\x00\x10\x00\x00\x00\x10\x00\x00";
    assert_eq!(said(&[&renode(1, false, b"")[..], bare].concat()).2, [(0x1000, 1, 2)]);
    assert_eq!(said(b"0x1000: 0xAABB\n0x1002: 0x01020304\n").2, joined);
    let unknown = [&renode(5, false, b"")[..], b"\x00\x10\x00\x00\x00\x04\x10\x00\x00\x04"].concat();
    let damaged = read_with(&unknown, &Options::default());
    assert_eq!(runs(&damaged.trace), [(0x1000, 1, 1)]);
    assert_eq!(
        damaged.fault.unwrap().to_string(),
        "import a: as renode, offset 0x14: data of the unknown type 4 before it"
    );
}

#[test]
fn qemu_says_how_often_without_chains() {
    let all = vec![(0x100, 2, 1), (0x102, 6, 2), (0x108, 4, 1), (0x116, 6, 2)];
    assert_eq!(said(QEMU_LOG.as_bytes()), (Format::QemuLog, Counting::Times, all));
    let reached = vec![(0x100, 12, 1), (0x116, 6, 1)];
    let expected = (Format::QemuLog, Counting::Reached, reached);
    // One block that was chained, or a link, is enough to not know.
    assert_eq!(said(QEMU_LOG.replacen("ff020200", "ff020000", 1).as_bytes()), expected);
    let linked = format!("{QEMU_LOG}Linking TBs 0x7fee30000100 index 0 -> 0x7fee30000240\n");
    assert_eq!(said(linked.as_bytes()), expected);
    let in_asm: String = QEMU_LOG.split_inclusive('\n').filter(|line| !line.starts_with("Trace")).collect();
    assert_eq!(said(in_asm.as_bytes()), expected);
    let exec: String = QEMU_LOG.split_inclusive('\n').filter(|line| line.starts_with("Trace")).collect();
    assert_eq!(said(exec.as_bytes()).2, [(0x100, 1, 1), (0x102, 1, 1), (0x108, 1, 1), (0x116, 1, 2)]);
    let stopped =
        format!("{QEMU_LOG}Stopped execution of TB chain before 0x7fb544000280 [0000000000000116] \n");
    assert_eq!(said(stopped.as_bytes()).2.last(), Some(&(0x116, 6, 1)));
    // Two processors are in the block, and one of them did not begin it.
    let other = "Trace 1: 0x7fb544000280 [00800400/0000000000000116/00000110/ff020200] \n";
    let stopped = stopped.replace("Stopped", &format!("{other}Stopped"));
    assert_eq!(said(stopped.as_bytes()).2.last(), Some(&(0x116, 6, 2)));
}

#[test]
fn translations_have_the_length_of_their_bytes() {
    let block = |lines: &str| said(format!("IN: \n{lines}\n").as_bytes()).2;
    let x86 =
        "0x000fe056:  48 b8 88 77 66 55 44 33  movabsq  $0x1122334455667788, %rax\n0x000fe05e:  22 11\n";
    assert_eq!(block(x86), [(0xfe056, 10, 1)]);
    assert_eq!(block("0x00001000:  00000297          add                     t0,t0,4\n"), [(0x1000, 4, 1)]);
    assert_eq!(block("0x00001000:  OBJD-T: 4ff00453704700bf\n"), [(0x1000, 8, 1)]);
}

#[test]
fn plugins_of_qemu() {
    assert_eq!(
        said(EXECLOG.as_bytes()),
        (Format::Execlog, Counting::Times, vec![(0xa12, 1, 2), (0xa14, 1, 1)])
    );
    let blocks = vec![(0xa14, 1, 7), (0xb00, 1, 1)];
    assert_eq!(said(HOTBLOCKS.as_bytes()), (Format::Hotblocks, Counting::Times, blocks.clone()));
    let fewer = HOTBLOCKS.replace("collected 2", "collected 3");
    assert_eq!(said(fewer.as_bytes()), (Format::Hotblocks, Counting::Samples, blocks));
    let four = Options { insn_bytes: Some(4), ..Options::default() };
    assert_eq!(runs(&read_with(HOTBLOCKS.as_bytes(), &four).trace), [(0xa14, 12, 7), (0xb00, 4, 1)]);
}

#[test]
fn gnatcov_has_branches_where_instructions_have_one_length() {
    let entries = [(0x100, 8, 0x11), (0x100, 8, 0x12), (0x200, 4, 0x20), (0x300, 2, 0x82), (0x400, 12, 0x10)];
    for (pc_bytes, is_big) in [(4, false), (4, true), (8, false), (8, true)] {
        let trace = read(&gnatcov(pc_bytes, is_big, 20, &entries)).trace;
        assert_eq!((trace.counting, runs(&trace)), (Counting::Reached, vec![(0x100, 8, 1), (0x400, 12, 1)]));
        let ways = trace.space("").unwrap().branches().collect::<Vec<_>>();
        assert_eq!(ways, [(0x104, super::super::Ways { taken: 1, fell_through: 1 })]);
        assert!(trace.has_branches);
    }
    assert!(!read(&gnatcov(4, false, 3, &entries)).trace.has_branches);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_traces_are_taken_as_they_are() {
    let plain = QEMU_LOG.repeat(1000);
    let expected = read(plain.as_bytes()).trace;
    assert_eq!(read(&gzip(plain.as_bytes())).trace, expected);
    assert_eq!(read(&zstd(plain.as_bytes())).trace, expected);
    let (first, second) = plain.split_at(plain.len() / 2);
    assert_eq!(read(&[gzip(first.as_bytes()), gzip(second.as_bytes())].concat()).trace, expected);
    // A skippable frame between two.
    let skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc".to_vec();
    assert_eq!(read(&[zstd(first.as_bytes()), skipped, zstd(second.as_bytes())].concat()).trace, expected);
    for whole in [gzip(plain.as_bytes()), zstd(plain.as_bytes())] {
        let cut = import("a", &whole[..whole.len() - 5], None, &Options::default()).unwrap();
        let said = cut.fault.expect("it is cut off").to_string();
        assert!(said.contains(": read on: ") || said.contains("in its middle"), "{said}");
    }
}

#[test]
fn damage_is_said() {
    let cases: [(&[u8], &str); 10] = [
        (b"covtap trace 1\n", "import a: it is a trace of covtap's"),
        (b"", "import a: it is empty"),
        (b"hello\n", "import a: it begins as no trace that is known"),
        (b"IN: \n\n", "import a: as qemu-log, nothing in it was executed"),
        (b"0x1000\n0x2", "import a: as pcs, line 2: the file ends in its middle"),
        (b"0x1000\n\nbye\n", "import a: as pcs, line 3: it is no address"),
        (b"10 1 4\n10 1\n", "import a: as tfa, line 2: it is not an address, a count and a length"),
        (
            b"ReTrace\x02\x04\x00",
            "import a: as renode, offset 0xa: there is no header of a version that is known before it, but 2",
        ),
        (b"#QEMU-Traces\x02", "import a: as gnatcov, offset 0xc: the file ends in the middle of a record"),
        (
            b"DRCOV VERSION: 1\nModule Table: 11\n",
            "import a: as drcov, line 2: it does not begin a module table of version 2 or later",
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(refusal(bytes, &Options::default()), message);
    }
}

#[test]
fn what_is_whole_is_kept() {
    for (format, file) in files() {
        let cut = import("a", &file[..file.len() - 1], None, &Options::default());
        let fault = match cut {
            Ok(cut) => cut.fault,
            Err(error) => Some(error),
        };
        let said = fault.expect("it is cut off").to_string();
        assert!(said.contains("the file ends in"), "{format}: {said}");
    }
}

proptest! {
    #[test]
    fn damaged_files_are_read_or_refused(
        file in any::<Index>(), changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<Index>()), packed in 0..3,
    ) {
        let (format, mut file) = file.get(&files()).clone();
        if packed > 0 {
            file = if packed == 1 { gzip(&file) } else { zstd(&file) };
        }
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(cut.map_or(file.len(), |cut| cut.index(file.len())));
        for format in [None, Some(format)] {
            match import("a", &file[..], format, &Options::default()) {
                Ok(imported) => prop_assert!(!imported.trace.is_empty()),
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }
    }

    #[test]
    fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for name in Format::names() {
            let _ = import("a", &bytes[..], Format::by_name(name), &Options::default());
        }
    }
}
