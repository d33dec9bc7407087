//! What covtap's own tests, demo and benchmarks stand on: guests in QEMU and the tools that serve as oracles.
//!
//! What enters is the name of a machine and an ELF; what leaves is a running guest with open sockets.
//!
//! What always holds:
//! - sockets are bound here, on a path or port of their own, and handed to QEMU as open descriptors: a
//!   connection succeeds from the first moment, and nothing waits for a port or guesses one;
//! - what was started ends with its handle, by process id;
//! - a tool that is missing is an error with the package that has it, never a skipped test.

mod console;
mod exec_log;
mod guest;
mod monitor;
mod stopped;
mod tool;

pub use console::Console;
pub use exec_log::executed;
pub use guest::{GdbSocket, Guest, GuestBuilder, Machine};
pub use monitor::Monitor;
pub use stopped::Stopped;
pub use tool::{fixture, run, tool, workspace_root};
