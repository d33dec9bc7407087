//! Translation against a monitor that is played here, truthful or not.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const NEVER: Duration = Duration::from_secs(3600);

/// A monitor that knows some RAM and some pages, and notes what it was asked.
#[derive(Default)]
struct Fake {
    mtree: String,
    /// First and last guest-physical address, host address, region.
    ram: Vec<(u64, u64, u64, &'static str)>,
    pages: BTreeMap<u64, u64>,
    asked: Vec<String>,
}

impl Fake {
    fn with_ram(ram: &[(u64, u64, u64, &'static str)]) -> Self {
        let lines: Vec<String> = ram
            .iter()
            .map(|(first, last, _, name)| format!("  {first:016x}-{last:016x} (prio 0, ram): {name}"))
            .collect();
        let mtree = format!("FlatView #0\n AS \"memory\", root: system\n{}\n", lines.join("\n"));
        Self { mtree, ram: ram.to_vec(), ..Self::default() }
    }

    fn answer(&self, line: &str) -> String {
        let Some((command, addr)) = line.split_once(" 0x") else { return self.mtree.clone() };
        let addr = u64::from_str_radix(addr, 16).expect("an address");
        match command {
            "gva2gpa" => {
                self.pages.get(&addr).map_or("Unmapped\r\n".to_owned(), |gpa| format!("gpa: {gpa:#x}\r\n"))
            }
            "gpa2hva" => match self.ram.iter().find(|(first, last, ..)| *first <= addr && addr <= *last) {
                Some((first, _, hva, name)) => {
                    let hva = hva.wrapping_add(addr - first);
                    format!("Host virtual address for {addr:#x} ({name}) is {hva:#x}\r\n")
                }
                None => format!("No memory is mapped at address {addr:#x}\r\n"),
            },
            _ => panic!("{line}"),
        }
    }
}

impl Human for Fake {
    fn human(&mut self, lines: &[String], _: Option<u32>) -> Result<Vec<String>, Failure> {
        self.asked.extend_from_slice(lines);
        Ok(lines.iter().map(|line| self.answer(line)).collect())
    }
}

fn translator(space: AddressSpace) -> Translator {
    Translator::new(space, NEVER, u64::MAX)
}

/// Address, physical address, length and host address of each stretch.
fn ask(translator: &mut Translator, fake: &mut Fake, addr: u64, len: u64) -> Result<Vec<[u64; 4]>, String> {
    let mut stretches = Vec::new();
    translator.translate(fake, addr, len, &mut stretches).map_err(|failure| failure.words())?;
    Ok(stretches.iter().map(|s| [s.addr, s.gpa, s.len_bytes, s.hva()]).collect())
}

#[test]
fn a_large_physical_range_costs_three_questions_once() {
    let mut fake = Fake::with_ram(&[(0x1000_0000, 0x1000_0000 + 64 * MIB - 1, 0x7f00_0000_0000, "ram")]);
    let mut translator = translator(AddressSpace::Physical);
    let expected = [0x1000_1000, 0x1000_1000, 16 * MIB, 0x7f00_0000_1000];
    for _ in 0..3 {
        assert_eq!(ask(&mut translator, &mut fake, 0x1000_1000, 16 * MIB), Ok(vec![expected]));
    }
    assert_eq!(fake.asked, ["info mtree -f", "gpa2hva 0x10000000", "gpa2hva 0x13ffffff"]);
    translator.forget();
    fake.ram[0].2 = 0x7e00_0000_0000;
    let moved = ask(&mut translator, &mut fake, 0x1000_1000, 1).expect("translated");
    assert_eq!(moved, [[0x1000_1000, 0x1000_1000, 1, 0x7e00_0000_1000]]);
}

#[test]
fn a_range_over_two_regions_is_two_stretches() {
    let ram = [(0x1000, 0x1fff, 0x10_0000, "a"), (0x2000, 0x2fff, 0x50_0000, "b")];
    let mut fake = Fake::with_ram(&ram);
    let found = ask(&mut translator(AddressSpace::Physical), &mut fake, 0x1ff0, 0x20).expect("translated");
    assert_eq!(found, [[0x1ff0, 0x1ff0, 0x10, 0x10_0ff0], [0x2000, 0x2000, 0x10, 0x50_0000]]);
}

#[test]
fn where_memory_ends_is_named() {
    let mut fake = Fake::with_ram(&[(0x1000, 0x1fff, 0x10_0000, "a")]);
    let error = ask(&mut translator(AddressSpace::Physical), &mut fake, 0x1ff0, 0x20).expect_err("the end");
    assert_eq!(error, "no memory at 0x2000: No memory is mapped at address 0x2000");
    fake.mtree.push_str("  0000000000002000-0000000000002fff (prio 0, i/o): uart\n");
    let error = ask(&mut translator(AddressSpace::Physical), &mut fake, 0x1ff0, 0x20).expect_err("a device");
    assert_eq!(error, "no memory at 0x2000: uart is not RAM");
}

#[test]
fn without_a_memory_map_each_page_is_proven() {
    let mut fake = Fake::with_ram(&[(0, 0x3fff, 0x10_0000, "a")]);
    fake.mtree = "unknown command: 'info mtree -f'".to_owned();
    let found = ask(&mut translator(AddressSpace::Physical), &mut fake, 0xff8, 16).expect("translated");
    assert_eq!(found, [[0xff8, 0xff8, 8, 0x10_0ff8], [0x1000, 0x1000, 8, 0x10_1000]]);
}

#[test]
fn a_memory_map_that_joins_what_is_apart_is_not_believed() {
    let mut fake = Fake::with_ram(&[(0, 0xffff, 0x10_0000, "a")]);
    fake.ram = vec![(0, 0x7fff, 0x10_0000, "a"), (0x8000, 0xffff, 0x90_0000, "a")];
    let found = ask(&mut translator(AddressSpace::Physical), &mut fake, 0x7ffc, 8).expect("translated");
    assert_eq!(found, [[0x7ffc, 0x7ffc, 4, 0x10_7ffc], [0x8000, 0x8000, 4, 0x90_0000]]);
}

#[test]
fn virtual_pages_that_follow_each_other_are_one_stretch() {
    let mut fake = Fake::with_ram(&[(0, 0xffff, 0x10_0000, "a")]);
    fake.pages = BTreeMap::from([(0xf000, 0x3000), (0x1_0000, 0x4000), (0x1_1000, 0x1000)]);
    let mut translator = translator(AddressSpace::Virtual { cpu: 0 });
    let expected = vec![[0xf010, 0x3010, 0x1ff0, 0x10_3010], [0x1_1000, 0x1000, 0x1000, 0x10_1000]];
    assert_eq!(ask(&mut translator, &mut fake, 0xf010, 0x2ff0), Ok(expected.clone()));
    let questions = fake.asked.len();
    assert_eq!(ask(&mut translator, &mut fake, 0xf010, 0x2ff0), Ok(expected));
    assert_eq!(fake.asked.len(), questions);
    let error = ask(&mut translator, &mut fake, 0x1_1ff0, 0x20).expect_err("unmapped");
    assert_eq!(error, "CPU 0 has no translation of 0x12000");
}

#[test]
fn a_page_table_that_changed_is_noticed_when_the_time_has_come() {
    let mut fake = Fake::with_ram(&[(0, 0xffff, 0x10_0000, "a")]);
    fake.pages = BTreeMap::from([(0xf000, 0x3000), (0x1_0000, 0x4000)]);
    let mut translator = Translator::new(AddressSpace::Virtual { cpu: 0 }, Duration::ZERO, u64::MAX);
    ask(&mut translator, &mut fake, 0xf000, 0x2000).expect("translated");
    fake.pages = BTreeMap::from([(0xf000, 0x5000), (0x1_0000, 0x8000)]);
    let found = ask(&mut translator, &mut fake, 0xf000, 0x2000).expect("translated");
    assert_eq!(found, [[0xf000, 0x5000, 0x1000, 0x10_5000], [0x1_0000, 0x8000, 0x1000, 0x10_8000]]);
    fake.pages.clear();
    assert!(ask(&mut translator, &mut fake, 0xf000, 8).is_err());
}

#[test]
fn the_first_read_that_succeeds_decides_what_addresses_mean() {
    let mut fake = Fake::with_ram(&[(0, 0xffff, 0x10_0000, "a")]);
    let mut translator = translator(AddressSpace::Auto);
    assert!(ask(&mut translator, &mut fake, 0x2_0000, 4).is_err());
    assert_eq!(translator.space(), AddressSpace::Auto);
    fake.pages = BTreeMap::from([(0x2_0000, 0x3000)]);
    assert_eq!(ask(&mut translator, &mut fake, 0x2_0004, 4), Ok(vec![[0x2_0004, 0x3004, 4, 0x10_3004]]));
    assert_eq!(translator.space(), AddressSpace::Virtual { cpu: 0 });
    // It is RAM, but no page table leads there.
    assert!(ask(&mut translator, &mut fake, 0x1000, 4).is_err());
    let mut other = Translator::new(AddressSpace::Auto, NEVER, u64::MAX);
    ask(&mut other, &mut fake, 0x1000, 4).expect("physical");
    assert_eq!(other.space(), AddressSpace::Physical);
}

#[test]
fn addresses_end_where_the_target_says() {
    let mut fake = Fake::with_ram(&[(u64::MAX - 0xfff, u64::MAX, 0x10_0000, "top")]);
    let mut whole = translator(AddressSpace::Physical);
    let found = ask(&mut whole, &mut fake, u64::MAX - 3, 4).expect("translated");
    assert_eq!(found, [[u64::MAX - 3, u64::MAX - 3, 4, 0x10_0ffc]]);
    assert!(ask(&mut whole, &mut fake, u64::MAX, 2).is_err());
    assert_eq!(ask(&mut whole, &mut fake, u64::MAX, 0), Ok(vec![]));
    let mut narrow = Translator::new(AddressSpace::Physical, NEVER, u64::from(u32::MAX));
    let error = ask(&mut narrow, &mut fake, 0xffff_fffc, 8).expect_err("beyond");
    assert_eq!(error, "the target's addresses end at 0xffffffff");
}

#[test]
fn a_page_at_the_end_of_physical_memory_does_not_wrap() {
    let mut fake = Fake::with_ram(&[(0, u64::MAX, 0, "all")]);
    fake.pages = BTreeMap::from([(0x1000, u64::MAX - 0xff)]);
    let mut translator = translator(AddressSpace::Virtual { cpu: 0 });
    assert!(ask(&mut translator, &mut fake, 0x1000, 0x1000).is_err());
    assert!(ask(&mut translator, &mut fake, 0x1000, 0x100).is_ok());
}

/// A monitor whose every answer is one of a few.
struct Liar {
    answers: Vec<String>,
    next: usize,
}

impl Human for Liar {
    fn human(&mut self, lines: &[String], _: Option<u32>) -> Result<Vec<String>, Failure> {
        Ok(lines
            .iter()
            .map(|_| {
                self.next += 1;
                self.answers[self.next % self.answers.len()].clone()
            })
            .collect())
    }
}

fn lie() -> impl Strategy<Value = String> {
    let number = prop_oneof![0u64..0x1_0000, any::<u64>(), Just(u64::MAX)];
    prop_oneof![
        number.clone().prop_map(|n| format!("gpa: {n:#x}")),
        (number.clone(), number.clone())
            .prop_map(|(a, h)| format!("Host virtual address for {a:#x} (r) is {h:#x}")),
        (number.clone(), number).prop_map(|(a, b)| {
            format!("FlatView #0\n AS \"memory\", root: s\n  {a:016x}-{b:016x} (prio 0, ram): r")
        }),
        Just("Unmapped".to_owned()),
        Just("No memory is mapped at address 0x0".to_owned()),
        "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn whatever_is_answered_a_range_is_covered_exactly_or_refused(
        answers in proptest::collection::vec(lie(), 1..6),
        addr in prop_oneof![0u64..0x1_0000, any::<u64>()],
        len in 1u64..0x1_0000,
        space in prop_oneof![
            Just(AddressSpace::Auto),
            Just(AddressSpace::Physical),
            Just(AddressSpace::Virtual { cpu: 1 })
        ],
    ) {
        let mut liar = Liar { answers, next: 0 };
        let mut translator = translator(space);
        for _ in 0..3 {
            let mut stretches = Vec::new();
            if translator.translate(&mut liar, addr, len, &mut stretches).is_ok() {
                let mut next = addr;
                for stretch in &stretches {
                    prop_assert_eq!(stretch.addr, next);
                    prop_assert!(stretch.backing.first <= stretch.gpa);
                    prop_assert!(stretch.gpa + (stretch.len_bytes - 1) <= stretch.backing.last);
                    next = next.wrapping_add(stretch.len_bytes);
                }
                prop_assert_eq!(next, addr.wrapping_add(len));
            }
        }
    }
}

#[test]
fn memory_that_shows_twice_is_named_once() {
    let low = (0, 4 * MIB - 1, 0x7f00_0000_0000, "ssram1");
    let alias = (4 * MIB, 6 * MIB - 1, 0x7f00_0010_0000, "ssram1");
    let longer = (8 * MIB, 13 * MIB - 1, 0x7f00_0000_0000, "ssram1");
    let other = (16 * MIB, 17 * MIB - 1, 0x7f00_1000_0000, "ssram23");
    let mut fake = Fake::with_ram(&[low, alias, longer, other]);
    let mut translator = translator(AddressSpace::Auto);
    let ram = translator.ram(&mut fake).expect("the monitor answers");
    assert_eq!(ram.iter().map(|backing| backing.first).collect::<Vec<_>>(), [0, 8 * MIB, 16 * MIB]);
}

#[test]
fn physical_addresses_are_translated_whatever_addresses_mean() {
    let mut fake = Fake::with_ram(&[(0x1000, 0x2fff, 0x7f00_0000_0000, "ram")]);
    fake.pages = BTreeMap::from([(0x1000, 0x2000), (0x2000, 0x1000)]);
    let mut translator = translator(AddressSpace::Auto);
    let mut stretches = Vec::new();
    translator.translate_physical(&mut fake, 0x1ff0, 0x20, &mut stretches).expect("there is memory");
    assert_eq!(
        stretches.iter().map(|s| [s.addr, s.gpa, s.len_bytes, s.hva()]).collect::<Vec<_>>(),
        [[0x1ff0, 0x1ff0, 0x20, 0x7f00_0000_0ff0]]
    );
    assert_eq!(translator.space(), AddressSpace::Auto);
    assert!(!fake.asked.iter().any(|line| line.starts_with("gva2gpa")));
    translator.translate_physical(&mut fake, 0x2ff0, 0x20, &mut stretches).expect_err("memory ends");
    translator.translate_physical(&mut fake, u64::MAX, 2, &mut stretches).expect_err("addresses end");
}
