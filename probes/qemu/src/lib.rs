//! Reads a QEMU guest's memory through its monitor and its process, without stopping it.
