//! A valve controller, and a script that uses more of it in each phase: coverage that grows while one watches.
//!
//! | phase | enters |
//! |---|---|
//! | 0 | reading |
//! | 1 | writing, numbers, checksums |
//! | 2 | everything that a bad line can be |
//! | 3 | opening and closing the valve, faults and their reset |
//! | 4 | the lock |
//!
//! The factory reset is never reached, and stays red in every report.
#![no_std]

mod command;
mod script;
mod valve;

pub use command::{Command, Malformed};
pub use script::{Answers, Driver, PHASES};
pub use valve::{Refused, State, Valve};

use board::Tally;

/// The functions that count their own calls, to compare coverage counters with.
pub static TALLIES: [&Tally; 6] =
    [&script::SEND, &command::PARSE, &command::CHECK, &command::NUMBER, &valve::APPLY, &valve::TRIP];
