//! Which form a trace has, by its first bytes.
//!
//! What always holds: a binary form begins with its own magic; of text the first line that only one form has decides.

use super::{Format, execlog, hotblocks, pcs, qemu_log, tfa};

/// What binary forms, and those with a head of text, begin with.
const MAGICS: [(&[u8], Format); 3] =
    [(b"ReTrace", Format::Renode), (b"#QEMU-Traces", Format::Gnatcov), (b"DRCOV VERSION", Format::Drcov)];

/// Whether a line is of a form.
type Tells = fn(&str) -> bool;

/// What lines tell a form, the stricter ones first.
const LINES: [(Tells, Format); 5] = [
    (qemu_log::tells, Format::QemuLog),
    (execlog::tells, Format::Execlog),
    (hotblocks::tells, Format::Hotblocks),
    (tfa::tells, Format::Tfa),
    (pcs::tells, Format::Pcs),
];

/// The form of a trace that begins so.
pub(super) fn format(head: &[u8]) -> Option<Format> {
    let magic = MAGICS.iter().find(|(magic, _)| head.starts_with(magic));
    if let Some((_, format)) = magic {
        return Some(*format);
    }
    // The last line may have been cut off here.
    let lines = head.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines
        .map(|line| line.trim_end_matches('\r'))
        .find_map(|line| LINES.iter().find(|(tells, _)| tells(line)).map(|(_, format)| *format))
}
