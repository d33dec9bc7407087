//! The host's side of a guest: the QEMU process and the files behind its memory.

pub(crate) mod command_line;
pub(crate) mod exit_watch;
pub(crate) mod file;
pub(crate) mod find;
mod resume;

/// One piece of a copy: where it is, and where its bytes go.
#[derive(Debug)]
pub(crate) struct Piece<'a, P> {
    pub(crate) place: P,
    pub(crate) buf: &'a mut [u8],
}
