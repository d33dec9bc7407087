//! A table of an ELF that does not fit, before it is known which file it is in.

/// What was read, where, and what was wrong.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) what: &'static str,
    pub(super) offset: u64,
    pub(super) detail: String,
}

/// Names what was read for an error of `object`, which only says what was wrong.
pub(super) fn fault<E: std::fmt::Display>(what: &'static str, offset: u64) -> impl FnOnce(E) -> Fault {
    move |error| Fault { what, offset, detail: error.to_string() }
}
