//! The target description: architecture and registers. (GDB manual, appendix "Target Descriptions".)
//!
//! What enters is `target.xml` and the files that it includes; what leaves is the architecture's name and
//! the list of registers with their numbers and sizes.
//!
//! What always holds: the number of files, their depth, the number of registers and their sizes are bounded,
//! however the files include each other.

use covtap_link::{Endianness, PointerWidth};
use roxmltree::{Document, Node, ParsingOptions};

use super::memory::printable;

const MAX_FILES: usize = 64;
const MAX_DEPTH: usize = 8;
const MAX_NODES: u32 = 100_000;
const MAX_REGISTERS: usize = 8192;
const MAX_REGISTER_BITS: usize = 1 << 16;

/// A register as the server numbers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Register {
    /// The server's name for it.
    pub(crate) name: String,
    /// The number that `p` takes.
    pub(crate) number: usize,
    /// The size, in bytes.
    pub(crate) len_bytes: usize,
}

/// What a server tells of its target.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Description {
    /// The architecture by GDB's name for it: `arm`, `i386:x86-64`.
    pub(crate) architecture: Option<String>,
    /// The registers, in the order of their numbers.
    pub(crate) registers: Vec<Register>,
}

impl Description {
    /// Reads `target.xml`; `fetch` gives the text of a file by its name. What cannot be read is left out.
    pub(crate) fn read<E>(fetch: &mut dyn FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        let mut reader = Reader { fetch, description: Self::default(), next_number: 0, files: 0 };
        reader.file("target.xml", 0)?;
        let mut description = reader.description;
        description.registers.sort_by_key(|register| register.number);
        Ok(description)
    }

    /// The register of that name.
    pub(crate) fn register(&self, name: &str) -> Option<&Register> {
        self.registers.iter().find(|register| register.name == name)
    }

    /// Where a register is in the reply to `g`, which holds all of them in the order of their numbers.
    pub(crate) fn offset_bytes(&self, register: &Register) -> usize {
        self.registers
            .iter()
            .take_while(|other| other.number < register.number)
            .fold(0, |sum, other| sum.saturating_add(other.len_bytes))
    }
}

struct Reader<'a, E> {
    fetch: &'a mut dyn FnMut(&str) -> Result<String, E>,
    description: Description,
    next_number: usize,
    files: usize,
}

impl<E> Reader<'_, E> {
    fn file(&mut self, name: &str, depth: usize) -> Result<(), E> {
        if depth > MAX_DEPTH || self.files >= MAX_FILES {
            return Ok(());
        }
        self.files += 1;
        // Servers leave the declaration of the prefix out, which a parser that knows namespaces refuses.
        let text =
            (self.fetch)(name)?.replace("<xi:include", "<include").replace("</xi:include", "</include");
        let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let Ok(document) = Document::parse_with_options(&text, options) else { return Ok(()) };
        for node in document.descendants().filter(Node::is_element) {
            match node.tag_name().name() {
                "architecture" => self.architecture(node),
                "reg" => self.register(node),
                "include" => {
                    if let Some(href) = node.attribute("href") {
                        self.file(href, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn architecture(&mut self, node: Node<'_, '_>) {
        let name = printable(node.text().unwrap_or_default().as_bytes());
        if self.description.architecture.is_none() && !name.is_empty() {
            self.description.architecture = Some(name);
        }
    }

    fn register(&mut self, node: Node<'_, '_>) {
        let bits = node.attribute("bitsize").and_then(|bits| bits.parse::<usize>().ok());
        let number = match node.attribute("regnum") {
            Some(number) => number.parse().ok(),
            None => Some(self.next_number),
        };
        let (Some(name), Some(bits), Some(number)) = (node.attribute("name"), bits, number) else { return };
        self.next_number = number.saturating_add(1);
        if bits <= MAX_REGISTER_BITS && self.description.registers.len() < MAX_REGISTERS {
            let name = printable(name.as_bytes());
            self.description.registers.push(Register { name, number, len_bytes: bits.div_ceil(8) });
        }
    }
}

/// What the name of an architecture tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Architecture {
    /// How its name starts.
    prefix: &'static str,
    /// The width of its pointers; `None` where it is neither 32 nor 64 bits.
    pub(crate) pointer_width: Option<PointerWidth>,
    /// Its byte order; `None` where it has both.
    pub(crate) endianness: Option<Endianness>,
}

const fn row(
    prefix: &'static str,
    pointer_width: Option<PointerWidth>,
    endianness: Option<Endianness>,
) -> Architecture {
    Architecture { prefix, pointer_width, endianness }
}

/// GDB's names (`set architecture`), the longer ones before those that they start with.
#[rustfmt::skip]
const ARCHITECTURES: &[Architecture] = &[
    row("i386:x86-64",      Some(PointerWidth::Bits64), Some(Endianness::Little)),
    row("i386:x64-32",      Some(PointerWidth::Bits32), Some(Endianness::Little)),
    row("i386",             Some(PointerWidth::Bits32), Some(Endianness::Little)),
    row("riscv:rv64",       Some(PointerWidth::Bits64), Some(Endianness::Little)),
    row("riscv:rv32",       Some(PointerWidth::Bits32), Some(Endianness::Little)),
    row("aarch64:ilp32",    Some(PointerWidth::Bits32), None),
    row("aarch64",          Some(PointerWidth::Bits64), None),
    row("arm",              Some(PointerWidth::Bits32), None),
    row("powerpc:common64", Some(PointerWidth::Bits64), None),
    row("powerpc:common",   Some(PointerWidth::Bits32), None),
    row("s390:64-bit",      Some(PointerWidth::Bits64), Some(Endianness::Big)),
    row("s390:31-bit",      Some(PointerWidth::Bits32), Some(Endianness::Big)),
    row("sparc:v9",         Some(PointerWidth::Bits64), Some(Endianness::Big)),
    row("m68k",             Some(PointerWidth::Bits32), Some(Endianness::Big)),
    row("Loongarch64",      Some(PointerWidth::Bits64), Some(Endianness::Little)),
    row("Loongarch32",      Some(PointerWidth::Bits32), Some(Endianness::Little)),
    row("TriCore",          Some(PointerWidth::Bits32), Some(Endianness::Little)),
    row("avr",              None,                       Some(Endianness::Little)),
];

/// What is known of an architecture by its name.
pub(crate) fn architecture(name: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|row| name.starts_with(row.prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    fn read(files: &[(&str, &str)]) -> (Description, usize) {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let mut fetched = 0;
        let description = Description::read::<Infallible>(&mut |name| {
            fetched += 1;
            Ok(files.get(name).copied().unwrap_or_default().to_owned())
        })
        .unwrap();
        (description, fetched)
    }

    #[test]
    fn reads_what_qemu_sends() {
        let (description, _) = read(&[
            (
                "target.xml",
                "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>\
                 <architecture>riscv:rv32</architecture><xi:include href=\"cpu.xml\"/>\
                 <xi:include href=\"csr.xml\"/></target>",
            ),
            (
                "cpu.xml",
                "<!DOCTYPE feature SYSTEM \"gdb-target.dtd\"><feature name=\"org.gnu.gdb.riscv.cpu\">\
                 <reg name=\"zero\" bitsize=\"32\" type=\"int\" regnum=\"0\"/>\
                 <reg name=\"ra\" bitsize=\"32\" type=\"code_ptr\"/></feature>",
            ),
            (
                "csr.xml",
                "<feature name=\"csr\"><reg name=\"mstatus\" bitsize=\"64\" regnum=\"833\"/></feature>",
            ),
        ]);
        assert_eq!(description.architecture.as_deref(), Some("riscv:rv32"));
        let ra = description.register("ra").unwrap();
        assert_eq!((ra.number, ra.len_bytes, description.offset_bytes(ra)), (1, 4, 4));
        let mstatus = description.register("mstatus").unwrap();
        assert_eq!((mstatus.number, mstatus.len_bytes, description.offset_bytes(mstatus)), (833, 8, 8));
        assert!(description.register("nope").is_none());
    }

    #[test]
    fn files_that_include_each_other_end() {
        let twice = "<t><include href='target.xml'/><include href='target.xml'/></t>";
        let (_, fetched) = read(&[("target.xml", twice)]);
        assert!(fetched <= MAX_FILES, "{fetched}");
    }

    #[test]
    fn entities_do_not_explode() {
        let mut text = String::from("<!DOCTYPE t [<!ENTITY a0 'aaaaaaaaaa'>");
        for i in 1..12 {
            text += &format!("<!ENTITY a{i} '{}'>", format!("&a{};", i - 1).repeat(10));
        }
        text += "]><target><architecture>&a11;</architecture></target>";
        let (description, _) = read(&[("target.xml", &text)]);
        assert!(description.architecture.is_none_or(|name| name.len() <= 120));
    }

    #[test]
    fn senseless_registers_are_left_out() {
        let (description, _) = read(&[(
            "target.xml",
            "<target><reg name='a' bitsize='-1'/><reg bitsize='32'/><reg name='b' bitsize='99999999999'/>\
             <reg name='c' bitsize='32' regnum='18446744073709551615'/><reg name='d' bitsize='9'/></target>",
        )]);
        let names: Vec<&str> = description.registers.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["c", "d"]);
    }

    #[test]
    fn architectures_are_known_by_the_longest_name() {
        assert_eq!(architecture("i386:x86-64:intel").unwrap().pointer_width, Some(PointerWidth::Bits64));
        assert_eq!(architecture("armv7e-m").unwrap().endianness, None);
        assert!(architecture("vax").is_none());
    }
}
