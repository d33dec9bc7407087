//! The command `covtap`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    covtap::cli::main()
}
