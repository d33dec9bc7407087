//! A client of the GDB remote serial protocol that reads a target's memory while it runs.
