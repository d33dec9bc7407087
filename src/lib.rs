//! covtap taps code coverage from targets that keep running.
//!
//! Data flows one way, and each folder is one step of it: an [`image`] says what the ELF holds, [`locate`] which
//! bytes of the target are counters, a link (the `covtap-*` crates) reaches them, [`collect`] reads them when it
//! is time, [`profile`] says what they count, [`coverage`] what that means for the source, and [`mod@write`] puts it
//! into files.

pub mod cli;
pub mod collect;
pub mod control;
pub mod coverage;
pub mod image;
pub mod inspect;
pub mod locate;
pub mod profile;
pub mod write;
