//! Writing what is there already: QEMU gives up what it has translated of memory that a debugger writes.
//!
//! What enters is a link to a target that stands still, and where it has code; what leaves is how much of that is no memory.
//! What always holds: what is written is what was read just before.

use crate::{AddrRange, Link, LinkError, TargetAddr};

/// What is read, and written, at once: memory is mapped page by page.
const PIECE_BYTES: u64 = 0x1000;

/// Reads all memory in `ranges`, writes it as it is, and gives the number of bytes that could not be read or written.
///
/// # Errors
///
/// The link failed for good.
pub fn rewrite(link: &mut dyn Link, ranges: impl IntoIterator<Item = AddrRange>) -> Result<u64, LinkError> {
    let (mut missed_bytes, mut buf) = (0, Vec::new());
    for range in ranges {
        let mut at = range.start().get();
        while at < range.end().get() {
            let end = (at - at % PIECE_BYTES).saturating_add(PIECE_BYTES).min(range.end().get());
            buf.resize(usize::try_from(end - at).unwrap_or_default(), 0);
            let place = TargetAddr::new(at);
            let read = link.read(place, &mut buf);
            let written = read.and_then(|_| match link.writer() {
                Some(writer) => writer.write(place, &buf).map(|()| true),
                None => Ok(false),
            });
            match written {
                Ok(true) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Ok(false) | Err(_) => missed_bytes += end - at,
            }
            at = end;
        }
    }
    Ok(missed_bytes)
}
