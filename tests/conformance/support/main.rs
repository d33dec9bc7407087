//! Runs a program of the corpus a few times, in a process that has the standard library.
fn main() {
    for n in 0..4 {
        std::hint::black_box(program::program(n * 3 - n % 2));
    }
}
